//! The settings of a worker of a cluster.

use std::time::Duration;

use serde::Deserialize;

use super::settings::seconds;

/// How the workers of a cluster share their load, and how one leaves.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct ClusterOptions {
    /// Whether a connection goes to a sibling when its next request would have to wait here and not there, and when its worker
    /// leaves.
    pub hand_over: bool,
    /// How long what is in flight may take in a worker that leaves while its siblings go on.
    #[serde(deserialize_with = "seconds")]
    pub worker_shutdown_timeout: Duration,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { hand_over: true, worker_shutdown_timeout: Duration::from_secs(30) }
    }
}
