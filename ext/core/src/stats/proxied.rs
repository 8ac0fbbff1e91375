//! Connections that are refused because of how a proxy introduces them, by reason.

use super::counter::labels;

labels! {
    /// Why a connection to an address with the PROXY protocol is refused.
    pub(crate) enum ProxyRefused by "reason" {
        /// It comes from an address that is not among the trusted proxies.
        Untrusted = "untrusted",
        /// It begins without a header.
        Missing = "missing",
        /// Its header is of a version that the address does not take.
        Version = "version",
        /// Its header breaks the protocol.
        Malformed = "malformed",
        /// Its header is longer than a header may be.
        TooLong = "too_long",
        /// Its header is not what its checksum says.
        Checksum = "checksum",
        /// Its header was not complete in time.
        Timeout = "timeout",
    }
}

impl ProxyRefused {
    /// What is wrong with such a connection, in words for the operator.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Untrusted => "trusted_proxies does not name this address",
            Self::Missing => "it begins without a header of the PROXY protocol: is it to be switched on in the proxy?",
            Self::Version => "its header is of the other version of the PROXY protocol",
            Self::Malformed => "its header breaks the PROXY protocol",
            Self::TooLong => "its header of the PROXY protocol is too long",
            Self::Checksum => "its header of the PROXY protocol was changed on its way: the checksum is another",
            Self::Timeout => "its header of the PROXY protocol was not there in time (handshake_timeout)",
        }
    }
}
