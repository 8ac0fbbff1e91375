//! What a connection speaks before HTTP, as the address that it comes to is written.

use super::{address::Query, tls::TlsOptions};

/// What comes before HTTP on an address. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireOptions {
    /// Each connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The connections are encrypted.
    pub tls: Option<Box<TlsOptions>>,
}

impl WireOptions {
    /// Takes its own options out of those of an address. `Err` is a sentence about what is wrong with one of them.
    pub(super) fn take(encrypted: bool, query: &mut Query<'_>) -> Result<Self, String> {
        let tls = if encrypted { Some(Box::new(TlsOptions::take(query)?)) } else { None };
        Ok(Self { proxy_protocol: false, tls })
    }
}
