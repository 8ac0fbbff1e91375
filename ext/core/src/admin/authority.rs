//! What a client may ask of the admin listener: a decision about the head of a request. Probes are answered for all clients. The
//! numbers are too, but not for a browser that came by a foreign name (DNS rebinding). What changes the server takes a token,
//! or the listener's Unix socket, because a client on the same host may be a page in a browser, an app that fetches URLs for
//! its users, or a proxy beside the app.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts, uri};

use super::commands::query_token;
use crate::config::{Address, AdminAccess};

/// Headers that browsers send and a page's script can't leave out; the others begin with [`BROWSERS_OWN`].
const BROWSER: [&str; 6] = ["origin", "referer", "cookie", "accept-language", "upgrade-insecure-requests", "dnt"];
/// Bytes of a name that there can be in DNS; the log has those that are refused.
const LONGEST_HOST: usize = 255;
/// How the names begin that no script may set.
const BROWSERS_OWN: &str = "sec-";

/// Decides for one admin listener.
#[derive(Debug)]
pub(super) struct Authority {
    access: AdminAccess,
    /// The host of the listener's own address; `None` for a Unix socket.
    host: Option<String>,
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denial {
    pub(super) status: StatusCode,
    /// A sentence that says what would help.
    pub(super) reason: String,
}

impl Denial {
    fn forbidden(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, reason: reason.into() }
    }
}

impl Authority {
    pub(super) fn new(access: AdminAccess, address: &Address) -> Self {
        let host = match address {
            Address::Tcp { host, .. } => Some(host.clone()),
            Address::Unix { .. } => None,
        };
        Self { access, host }
    }

    /// Whether the client may read the numbers.
    pub(super) fn may_read(&self, head: &Parts) -> Result<(), Denial> {
        // Monitoring asks by any name that it was given, and it is no browser.
        if self.host.is_none() || !is_from_browser(&head.headers) { Ok(()) } else { self.check_names(head) }
    }

    /// Whether the client may change what the server does.
    pub(super) fn may_change(&self, head: &Parts) -> Result<(), Denial> {
        let of_page = |name: &str| name == "origin" || name.starts_with("sec-fetch-");
        if let Some(name) = head.headers.keys().find(|name| of_page(name.as_str())) {
            return Err(Denial::forbidden(format!(
                "a page of a browser may not ask for this, and the request has {name}"
            )));
        }
        let in_query = match (query_token(head), &self.access.admin_token) {
            (Some(guess), Some(token)) if token.is(guess.as_bytes()) => true,
            (Some(_), Some(_)) => return Err(Denial::forbidden("the token in the query is not the admin_token")),
            (Some(_), None) if head.method == Method::GET => {
                return Err(Denial::forbidden("this server has no admin_token: use POST without a token"));
            }
            (_, _) => false,
        };
        if self.host.is_none() {
            return Ok(());
        }
        self.check_names(head)?;
        // Puma's pumactl speaks HTTP/1.0 and names no host; a browser always does.
        if head.headers.get_all(header::HOST).iter().count() != 1 && !in_query {
            return Err(Denial::forbidden("the request must name this listener in one Host header"));
        }
        let Some(token) = &self.access.admin_token else {
            return Err(Denial::forbidden(
                "this changes the server and needs a token: set admin_token_file or admin_token and send it as \
                 \"authorization: Bearer TOKEN\", or make admin a Unix socket",
            ));
        };
        if in_query || bearer(&head.headers).is_some_and(|guess| token.is(guess)) {
            return Ok(());
        }
        let reason = "this changes the server and needs the admin_token, as \"authorization: Bearer TOKEN\"".into();
        Err(Denial { status: StatusCode::UNAUTHORIZED, reason })
    }

    /// Whether every name that the request has for its server is one of the listener's own.
    fn check_names(&self, head: &Parts) -> Result<(), Denial> {
        let target = head.uri.authority().map(|authority| Some(authority.clone()));
        let hosts =
            head.headers.get_all(header::HOST).iter().map(|host| uri::Authority::try_from(host.as_bytes()).ok());
        for name in hosts.chain(target) {
            let Some(name) = name.filter(|name| name.host().len() <= LONGEST_HOST) else {
                return Err(Denial::forbidden("the Host header is malformed"));
            };
            if !self.is_own(name.host()) {
                return Err(Denial::forbidden(format!(
                    "{} is no name of this listener: use its IP address or localhost, or list the name in admin_hosts",
                    name.host()
                )));
            }
        }
        Ok(())
    }

    /// A name can be made to point here by its owner; an IP address can't.
    fn is_own(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = host.strip_suffix('.').unwrap_or(host);
        let is = |own: &str| host.eq_ignore_ascii_case(own);
        host.parse::<IpAddr>().is_ok()
            || is("localhost")
            || self.host.as_deref().is_some_and(is)
            || self.access.admin_hosts.iter().any(|own| is(own))
    }
}

fn is_from_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
    agent.starts_with(b"Mozilla/")
        || headers.keys().any(|name| BROWSER.contains(&name.as_str()) || name.as_str().starts_with(BROWSERS_OWN))
}

/// What the one `Authorization` header brings (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Token;

    const TOKEN: &str = "0123456789abcdef";

    fn authority(address: &str, token: Option<&str>) -> Authority {
        let access =
            AdminAccess { admin_token: token.map(Token::new), admin_hosts: vec!["metrics.example.com".into()] };
        Authority::new(access, &Address::parse(address).unwrap())
    }

    fn head(target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn status(decision: Result<(), Denial>) -> u16 {
        decision.map_or_else(|denial| denial.status.as_u16(), |()| 200)
    }

    /// On a developer's machine any page could end the server with `fetch("http://127.0.0.1:9394/drain", {method: "POST"})`.
    #[test]
    fn only_a_client_with_the_token_that_is_no_page_changes_the_server_over_tcp() {
        let bearer = format!("Bearer {TOKEN}");
        let good = [("host", "127.0.0.1:9394"), ("authorization", bearer.as_str())];
        let with = |more: &[(&str, &str)]| head("/drain", &[&good[..], more].concat());
        let hosted = |host: &str| head("/drain", &[("host", host), good[1]]);
        let authorized = |value: &str| head("/drain", &[good[0], ("authorization", value)]);
        let authority = authority("tcp://admin.internal:9394", Some(TOKEN));
        for (expected, head) in [
            (200, with(&[])),
            (200, authorized(&format!("bEARER  {TOKEN}"))),
            (200, head("http://localhost:9394/drain", &good)),
            (401, head("/drain", &good[..1])),
            (401, authorized("Bearer 0123456789abcdeg")),
            (401, authorized("Bearer 0123456789abcdef0")),
            (401, authorized("Bearer ")),
            (401, authorized("Bearer")),
            (401, authorized("")),
            (401, authorized(&format!("Basic {TOKEN}"))),
            (401, authorized(TOKEN)),
            (401, with(&[("authorization", "Bearer x")])),
            (403, with(&[("origin", "http://evil.example")])),
            (403, with(&[("origin", "null")])),
            (403, with(&[("origin", "http://127.0.0.1:9394")])),
            (403, with(&[("sec-fetch-site", "same-origin")])),
            (403, with(&[("sec-fetch-site", "none")])),
            (403, with(&[("sec-fetch-mode", "navigate")])),
            (403, with(&[("host", "127.0.0.1:9394")])),
            (403, head("/drain", &good[1..])),
            (403, head("http://evil.example/drain", &good)),
        ] {
            assert_eq!(status(authority.may_change(&head)), expected, "{head:?}");
        }
        for (expected, host) in [
            (200, "localhost:9394"),
            (200, "LOCALHOST"),
            (200, "localhost.:80"),
            (200, "[::1]:9394"),
            (200, "10.0.0.8"),
            (200, "admin.internal:9394"),
            (200, "metrics.example.com"),
            (403, "evil.example:9394"),
            (403, "localhost.evil.example"),
            (403, "evil.localhost.example"),
            (403, "127.0.0.1.evil.example:9394"),
            (403, "127.1"),
            (403, "example.com"),
            (403, "x@evil.example"),
            (403, "[x]"),
            (403, ""),
            (403, &"a".repeat(300)),
        ] {
            assert_eq!(status(authority.may_change(&hosted(host))), expected, "{host}");
        }
    }

    /// `GET /stop?token=... HTTP/1.0`, without a Host, is what Puma's pumactl sends.
    #[test]
    fn the_token_may_be_in_the_query_and_is_never_ignored_there() {
        let tcp = authority("tcp://127.0.0.1:9394", Some(TOKEN));
        let unix = authority("unix:///run/admin.sock", Some(TOKEN));
        let open = authority("unix:///run/admin.sock", None);
        let right = format!("/stop?token={TOKEN}");
        for (expected, authority, target) in [
            (200, &tcp, right.as_str()),
            (200, &tcp, &format!("/stop?a=b&token={TOKEN}")),
            (403, &tcp, "/stop?token=0123456789abcdeg"),
            (403, &tcp, "/stop?token="),
            (403, &tcp, &format!("/stop?xtoken={TOKEN}")),
            (200, &unix, right.as_str()),
            (403, &unix, "/stop?token=guess"),
            (403, &open, right.as_str()),
        ] {
            assert_eq!(status(authority.may_change(&head(target, &[]))), expected, "{target}");
        }
        for page in [("origin", "null"), ("sec-fetch-site", "none"), ("host", "evil.example")] {
            assert_eq!(status(tcp.may_change(&head(&right, &[page]))), 403, "{page:?}");
        }
    }

    #[test]
    fn no_client_changes_the_server_over_tcp_where_there_is_no_token() {
        let denial = authority("tcp://127.0.0.1:9394", None)
            .may_change(&head("/drain", &[("host", "127.0.0.1:9394"), ("authorization", "Bearer ")]))
            .unwrap_err();
        assert_eq!(denial.status, StatusCode::FORBIDDEN);
        assert!(denial.reason.contains("set admin_token_file"), "{}", denial.reason);
    }

    #[test]
    fn on_a_unix_socket_the_permissions_of_its_file_decide() {
        let authority = authority("unix:///run/admin.sock", None);
        assert_eq!(status(authority.may_change(&head("/drain", &[("host", "localhost")]))), 200);
        assert_eq!(status(authority.may_change(&head("/drain", &[]))), 200);
        assert_eq!(status(authority.may_change(&head("/drain", &[("origin", "http://evil.example")]))), 403);
        assert_eq!(status(authority.may_read(&head("/stats", &[("host", "evil.example"), ("cookie", "a=b")]))), 200);
    }

    /// A page of `evil.example` reads what is at 127.0.0.1 as if it were its own, once that name was changed to this address.
    #[test]
    fn a_browser_that_came_by_a_foreign_name_reads_nothing() {
        let authority = authority("tcp://0.0.0.0:9394", None);
        for sign in [
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)"),
            ("accept-language", ""),
            ("sec-fetch-site", "same-origin"),
            ("sec-ch-ua", "x"),
            ("origin", "http://evil.example:9394"),
            ("referer", "http://evil.example:9394/"),
            ("cookie", "a=b"),
        ] {
            let ask = |host: &str| status(authority.may_read(&head("/metrics", &[("host", host), sign])));
            assert_eq!(ask("evil.example:9394"), 403, "{sign:?}");
            for own in ["127.0.0.1:9394", "localhost:8080", "[::1]:9394", "metrics.example.com:9394"] {
                assert_eq!(ask(own), 200, "{own} {sign:?}");
            }
        }
    }

    /// Prometheus, the kubelet and scripts ask by names of the cluster, which nothing here could list.
    #[test]
    fn monitoring_reads_by_any_name() {
        let authority = authority("tcp://0.0.0.0:9394", None);
        let scrape = [
            ("user-agent", "Prometheus/3.5.0"),
            ("accept", "application/openmetrics-text;version=1.0.0"),
            ("accept-encoding", "gzip"),
            ("x-prometheus-scrape-timeout-seconds", "10"),
        ];
        for host in ["shop-metrics.shop.svc:9394", "10.1.2.3:9394", "web-1.example.com:9394", "app:9394"] {
            let head = head("/metrics", &[&scrape[..], &[("host", host)]].concat());
            assert_eq!(authority.may_read(&head), Ok(()), "{host}");
        }
        assert_eq!(status(authority.may_read(&head("/stats", &[]))), 200);
    }
}
