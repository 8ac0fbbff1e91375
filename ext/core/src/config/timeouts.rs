//! How long a client may take.

use std::time::Duration;

use serde::Deserialize;

use super::settings::{seconds, seconds_or_none};

/// How long a client may take over each step of a connection; `None` is for ever.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct Timeouts {
    /// From accept to the first byte of the first request. The connection is closed without a response.
    #[serde(deserialize_with = "seconds_or_none")]
    pub first_data_timeout: Option<Duration>,
    /// From accept to the end of what comes before HTTP: a PROXY header, a TLS handshake. The connection is closed without a
    /// response. [`first_data_timeout`](Self::first_data_timeout) begins behind it.
    #[serde(deserialize_with = "seconds_or_none")]
    pub handshake_timeout: Option<Duration>,
    /// From the first byte of a head to its end, a deadline that no trickle of bytes extends. Answered with 408.
    #[serde(deserialize_with = "seconds_or_none")]
    pub head_timeout: Option<Duration>,
    /// Between two pieces of a request body. Answered with 408.
    #[serde(deserialize_with = "seconds_or_none")]
    pub body_timeout: Option<Duration>,
    /// Between a response and the next request's first byte. The connection is closed.
    #[serde(deserialize_with = "seconds_or_none")]
    pub persistent_timeout: Option<Duration>,
    /// While the peer takes no byte of a response. The connection is aborted.
    #[serde(deserialize_with = "seconds_or_none")]
    pub write_timeout: Option<Duration>,
    /// From the end of the server's side of a connection to the end of the client's, which tells that the client has its response;
    /// what the client still sends is read meanwhile, for 2 s at most once the server is closing. Then the connection is closed all the same (RFC 9112 §9.6). With zero it is
    /// closed at once, which may cost a client that is still sending its response.
    #[serde(deserialize_with = "seconds")]
    pub lingering_timeout: Duration,
    /// From the first byte of a head to the last of the request. Answered with 408.
    #[serde(deserialize_with = "seconds_or_none")]
    pub receive_timeout: Option<Duration>,
    /// How fast a client has to send a request body and to take a response, while the server waits for it and it is not silent.
    /// Answered with 408, or aborted.
    #[serde(skip)]
    pub min_data_rate: Option<MinRate>,
}

/// How fast a client has to be at least.
#[derive(Clone, Copy, Debug)]
pub struct MinRate {
    /// Bytes a second.
    pub bytes: u64,
    /// What they are the mean of. Less than a second is a second.
    pub grace: Duration,
}

impl MinRate {
    /// Bytes that have to come, or to be taken, in [`window`](Self::window).
    pub(crate) fn quota(&self) -> u64 {
        (self.bytes as f64 * self.window().as_secs_f64()) as u64
    }

    pub(crate) fn window(&self) -> Duration {
        self.grace.max(Duration::from_secs(1))
    }
}

/// The settings that make a [`MinRate`].
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct DataRateSettings {
    /// `None` and 0 are for any rate.
    min_data_rate: Option<u64>,
    #[serde(deserialize_with = "seconds")]
    min_data_rate_grace: Duration,
}

impl Default for DataRateSettings {
    fn default() -> Self {
        let MinRate { bytes, grace } = MinRate::default();
        Self { min_data_rate: Some(bytes), min_data_rate_grace: grace }
    }
}

impl From<DataRateSettings> for Option<MinRate> {
    fn from(settings: DataRateSettings) -> Self {
        let bytes = settings.min_data_rate.filter(|bytes| *bytes > 0)?;
        Some(MinRate { bytes, grace: settings.min_data_rate_grace })
    }
}

impl Default for MinRate {
    fn default() -> Self {
        Self { bytes: 500, grace: Duration::from_secs(20) }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_data_timeout: Some(Duration::from_secs(30)),
            handshake_timeout: Some(Duration::from_secs(10)),
            head_timeout: Some(Duration::from_secs(30)),
            body_timeout: Some(Duration::from_secs(60)),
            persistent_timeout: Some(Duration::from_secs(65)),
            write_timeout: Some(Duration::from_secs(60)),
            lingering_timeout: Duration::from_secs(2),
            receive_timeout: None,
            min_data_rate: Some(MinRate::default()),
        }
    }
}
