//! Requests that the server refuses itself, by reason: each leaves a trace in the metrics and in the access log.

use http::StatusCode;

use super::counter::labels;

labels! {
    /// Why a request is refused by the server itself, other than for want of room in the queue or of time in a drain
    /// ([`Shed`](crate::stats::Shed)).
    pub(crate) enum Refused by "reason" {
        /// Head or body break the protocol.
        Malformed = "malformed",
        /// A TLS handshake on an address that speaks plain HTTP.
        Tls = "tls",
        /// A major version of HTTP that is not spoken here.
        Version = "version",
        /// CONNECT, or a transfer coding other than chunks.
        Unsupported = "unsupported",
        /// The target is longer than a target can be.
        TargetTooLong = "target_too_long",
        /// The head has more bytes or fields than it may.
        HeadTooLarge = "head_too_large",
        /// The head did not arrive in time.
        HeadTimeout = "head_timeout",
        /// No more of the body arrived in time.
        BodyTimeout = "body_timeout",
        /// The body has more bytes than it may.
        BodyTooLarge = "body_too_large",
        /// The body could not be written to a temporary file.
        NoSpace = "no_space",
    }
}

impl Refused {
    /// What the client is told.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::Tls => StatusCode::BAD_REQUEST,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Unsupported => StatusCode::NOT_IMPLEMENTED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadTimeout | Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// Why the server refuses a request with this status, once it has read the head; `None` where the reason is another kind's.
    pub(crate) fn after_head(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::BAD_REQUEST => Some(Self::Malformed),
            StatusCode::NOT_IMPLEMENTED => Some(Self::Unsupported),
            StatusCode::REQUEST_TIMEOUT => Some(Self::BodyTimeout),
            StatusCode::PAYLOAD_TOO_LARGE => Some(Self::BodyTooLarge),
            StatusCode::INSUFFICIENT_STORAGE => Some(Self::NoSpace),
            _ => None,
        }
    }
}
