//! Requests that the server refuses itself, by reason: each leaves a trace in the metrics and in the access log.

use http::StatusCode;

/// Why a request is refused by the server itself, other than for want of room in the queue or of time in a drain
/// ([`Shed`](crate::stats::Shed)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Head or body break the protocol.
    Malformed,
    /// A TLS handshake on an address that speaks plain HTTP.
    Tls,
    /// A major version of HTTP that is not spoken here.
    Version,
    /// CONNECT, or a transfer coding other than chunks.
    Unsupported,
    /// The target is longer than a target can be.
    TargetTooLong,
    /// The head has more bytes or fields than it may.
    HeadTooLarge,
    /// The head did not arrive in time.
    HeadTimeout,
    /// No more of the body arrived in time.
    BodyTimeout,
    /// The body has more bytes than it may.
    BodyTooLarge,
    /// The body could not be written to a temporary file.
    NoSpace,
}

impl Refused {
    pub(crate) const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Tls,
        Self::Version,
        Self::Unsupported,
        Self::TargetTooLong,
        Self::HeadTooLarge,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::NoSpace,
    ];

    /// As metrics and logs have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Tls => "tls",
            Self::Version => "version",
            Self::Unsupported => "unsupported",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::NoSpace => "no_space",
        }
    }

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

    /// Why a request whose head was read is refused with this status; `None` where the reason is another kind's.
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
