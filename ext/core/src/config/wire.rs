//! What a connection speaks before HTTP, as the address that it comes to is written.

use super::{address::Query, tls::TlsOptions};

/// What comes before HTTP on an address. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireOptions {
    /// Each connection begins with a header of the PROXY protocol.
    pub proxy_protocol: Option<ProxyVersions>,
    /// The connections are encrypted.
    pub tls: Option<Box<TlsOptions>>,
}

impl WireOptions {
    /// Takes its own options out of those of an address. `Err` is a sentence about what is wrong with one of them.
    pub(super) fn take(encrypted: bool, query: &mut Query<'_>) -> Result<Self, String> {
        let proxy_protocol = query.take("proxy_protocol").map_or(Ok(None), ProxyVersions::parse)?;
        let tls = if encrypted { Some(Box::new(TlsOptions::take(query)?)) } else { None };
        Ok(Self { proxy_protocol, tls })
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
