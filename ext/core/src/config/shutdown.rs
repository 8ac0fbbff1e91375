//! The settings of the shutdown, and the platform that sets its bounds. What follows from them is the
//! [`Plan`](crate::lifecycle::plan::Plan).

use std::time::Duration;

use serde::Deserialize;

use super::settings::{OrAuto, seconds, seconds_or_auto};

/// The settings of the shutdown.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct PlanOptions {
    /// How long everything new is served after SIGTERM.
    #[serde(deserialize_with = "seconds_or_auto")]
    pub drain_delay: OrAuto<Duration>,
    /// How long requests in flight may take after that; auto is what is left of the budget.
    #[serde(deserialize_with = "seconds_or_auto")]
    pub shutdown_timeout: OrAuto<Duration>,
    /// The platform's time from SIGTERM to SIGKILL.
    #[serde(deserialize_with = "seconds_or_auto")]
    pub termination_grace: OrAuto<Duration>,
    /// What a preStop hook uses of the grace before SIGTERM comes.
    #[serde(deserialize_with = "seconds")]
    pub prestop: Duration,
    /// Whether the delay ends when no client sends new connections any more, and goes on while some do.
    pub drain_until_quiet: bool,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            drain_delay: OrAuto::Auto,
            shutdown_timeout: OrAuto::Auto,
            termination_grace: OrAuto::Auto,
            prestop: Duration::ZERO,
            drain_until_quiet: false,
        }
    }
}

/// What runs this process, as far as shutdown is concerned. The program that embeds the core finds it out; the core looks at
/// no environment variable and no file for it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Routes requests to a pod for a while after SIGTERM; 30 s of grace unless the pod says otherwise.
    Kubernetes,
    /// Docker and its kin stop routing themselves or not at all; 10 s of grace by default.
    Container,
    /// No platform is known to send SIGKILL.
    #[default]
    Plain,
}
