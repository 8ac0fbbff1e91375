//! What a connection speaks before HTTP, as the address that it comes to is written.

use std::path::PathBuf;

use super::address::Query;

/// What comes before HTTP on an address. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireOptions {
    /// Each connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The connections are encrypted.
    pub tls: Option<Box<TlsOptions>>,
}

/// How the connections of an address are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// A file with the certificate, and behind it those that it is signed by, in PEM.
    pub cert: Option<PathBuf>,
    /// A file with the certificate's private key, in PEM.
    pub key: Option<PathBuf>,
}

impl WireOptions {
    /// Takes its own options out of those of an address.
    pub(super) fn take(encrypted: bool, query: &mut Query<'_>) -> Self {
        Self { proxy_protocol: false, tls: encrypted.then(|| Box::new(TlsOptions::take(query))) }
    }
}

impl TlsOptions {
    fn take(query: &mut Query<'_>) -> Self {
        Self { cert: query.take("cert").map(PathBuf::from), key: query.take("key").map(PathBuf::from) }
    }
}
