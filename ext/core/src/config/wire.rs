//! What a connection speaks before HTTP, as the address that it comes to is written.

use std::path::PathBuf;

use super::address::Query;

/// What comes before HTTP on an address. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireOptions {
    /// Each connection begins with a header of the PROXY protocol.
    pub proxy_protocol: Option<ProxyVersions>,
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
    ///
    /// # Errors
    ///
    /// A sentence about the one that has a value that it cannot have.
    pub(super) fn take(encrypted: bool, query: &mut Query<'_>) -> Result<Self, String> {
        Ok(Self {
            proxy_protocol: query.take("proxy_protocol").map_or(Ok(None), ProxyVersions::parse)?,
            tls: encrypted.then(|| Box::new(TlsOptions::take(query))),
        })
    }
}

impl TlsOptions {
    fn take(query: &mut Query<'_>) -> Self {
        Self { cert: query.take("cert").map(PathBuf::from), key: query.take("key").map(PathBuf::from) }
    }
}

/// Which versions of the PROXY protocol an address takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersions {
    /// Both: `proxy_protocol=true`.
    Any,
    /// The first alone: `proxy_protocol=v1`.
    V1,
    /// The second alone: `proxy_protocol=v2`.
    V2,
}

impl ProxyVersions {
    fn parse(text: &str) -> Result<Option<Self>, String> {
        match text {
            "true" => Ok(Some(Self::Any)),
            "v1" => Ok(Some(Self::V1)),
            "v2" => Ok(Some(Self::V2)),
            "false" => Ok(None),
            _ => Err(format!("proxy_protocol={text} is none of true, v1, v2 and false")),
        }
    }
}
