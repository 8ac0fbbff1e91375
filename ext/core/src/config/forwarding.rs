//! Whom the server believes what it says of others: the proxies in front of it, and which of their headers count.

use std::str::FromStr;

use http::{HeaderName, header::FORWARDED};
use serde::Deserialize;

use super::trusted_proxies::TrustedProxies;

/// What proxies are believed. The default is: nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Forwarding {
    /// The addresses that a proxy may have.
    pub trusted_proxies: TrustedProxies,
    /// The headers by which they tell of the client.
    pub forwarded_headers: ForwardedHeaders,
    /// Whether requests that come from no trusted proxy lose the headers by which proxies tell of clients.
    pub strip_forwarded: bool,
    /// The address that every client has for the app and in the access log, whatever its own is and proxies tell.
    pub remote_address: Option<String>,
}

/// Which headers of a trusted proxy are believed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(try_from = "Vec<String>")]
pub struct ForwardedHeaders {
    /// The header that names the client.
    pub client: Option<ClientHeader>,
    /// `X-Forwarded-Proto` tells which scheme the client used.
    pub proto: bool,
    /// `X-Forwarded-Host` tells which host the client asked for.
    pub host: bool,
    /// `X-Forwarded-Port` tells which port the client asked for.
    pub port: bool,
}

/// A header that names the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientHeader {
    /// `Forwarded` (RFC 7239), which tells of scheme and host as well.
    Forwarded,
    /// `X-Forwarded-For`: a list, to which each proxy adds the address that the request came to it from.
    List,
    /// A header with one address, which the proxy sets: `X-Real-IP`.
    One(HeaderName),
}

impl ForwardedHeaders {
    /// Whether none is believed.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl TryFrom<Vec<String>> for ForwardedHeaders {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let mut headers = Self::default();
        for name in &names {
            let wrong = |_| format!("{name:?} is no name of a header");
            let name = HeaderName::from_str(name).map_err(wrong)?;
            let client = match name.as_str() {
                "x-forwarded-proto" => {
                    headers.proto = true;
                    continue;
                }
                "x-forwarded-host" => {
                    headers.host = true;
                    continue;
                }
                "x-forwarded-port" => {
                    headers.port = true;
                    continue;
                }
                "x-forwarded-for" => ClientHeader::List,
                _ if name == FORWARDED => ClientHeader::Forwarded,
                _ => ClientHeader::One(name),
            };
            if headers.client.as_ref().is_some_and(|other| *other != client) {
                return Err("only one of the headers may name the client".into());
            }
            headers.client = Some(client);
        }
        if headers.client == Some(ClientHeader::Forwarded) && (headers.proto || headers.host || headers.port) {
            return Err("with Forwarded, which tells all, none that begins with X-Forwarded- counts".into());
        }
        Ok(headers)
    }
}

impl Forwarding {
    /// Whether the headers of a request that came from `sender` may count for something else than themselves.
    pub(crate) fn is_needed(&self) -> bool {
        self.strip_forwarded || !self.forwarded_headers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(names: &[&str]) -> Result<ForwardedHeaders, String> {
        names.iter().map(ToString::to_string).collect::<Vec<_>>().try_into()
    }

    #[test]
    fn headers_are_known_by_their_names() {
        assert!(headers(&[]).unwrap().is_empty());
        assert_eq!(headers(&["Forwarded"]).unwrap().client, Some(ClientHeader::Forwarded));
        let usual = headers(&["X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Port"]).unwrap();
        assert_eq!((usual.client, usual.proto, usual.host, usual.port), (Some(ClientHeader::List), true, false, true));
        let one = headers(&["X-Real-IP", "x-real-ip"]).unwrap().client;
        assert_eq!(one, Some(ClientHeader::One(HeaderName::from_static("x-real-ip"))));
    }

    /// Two that may differ would leave it to the client which of them counts.
    #[test]
    fn only_one_header_names_the_client() {
        for names in
            [["Forwarded", "X-Forwarded-For"], ["X-Real-IP", "X-Forwarded-For"], ["Forwarded", "X-Forwarded-Host"]]
        {
            assert!(headers(&names).is_err(), "{names:?}");
        }
        assert!(headers(&["a b"]).is_err());
    }
}
