use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn forwarding(names: &[&str]) -> Forwarding {
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    Forwarding {
        trusted_proxies: owned(&["10.0.0.0/8", "2001:db8:1::/48"]).try_into().unwrap(),
        forwarded_headers: owned(names).try_into().unwrap(),
        strip_forwarded: false,
        remote_address: None,
    }
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

const USUAL: [&str; 4] = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"];

fn usual(lines: &[(&str, &str)]) -> Result<Forwarded, Malformed> {
    read(&headers(lines), &forwarding(&USUAL))
}

fn client(address: &str) -> Option<SocketAddr> {
    Some(address.parse().unwrap())
}

/// The client of an `X-Forwarded-For`.
fn listed(value: &str) -> Result<Option<SocketAddr>, Malformed> {
    usual(&[("x-forwarded-for", value)]).map(|told| told.client)
}

#[test]
fn the_client_is_the_first_from_the_right_that_is_no_proxy() {
    for (value, address) in [
        ("192.0.2.1", "192.0.2.1:0"),
        ("192.0.2.1, 10.0.0.1", "192.0.2.1:0"),
        ("198.51.100.1,192.0.2.1,10.0.0.1,10.0.0.2", "192.0.2.1:0"),
        ("10.0.0.1, 10.0.0.2", "10.0.0.1:0"),
        ("192.0.2.1:4000", "192.0.2.1:4000"),
        ("2001:db8::1", "[2001:db8::1]:0"),
        ("[2001:db8::1]", "[2001:db8::1]:0"),
        ("[2001:db8::1]:4000, 2001:db8:1::5", "[2001:db8::1]:4000"),
        ("::ffff:192.0.2.1, ::ffff:10.0.0.1", "192.0.2.1:0"),
        (" ,, 192.0.2.1 ,, ", "192.0.2.1:0"),
    ] {
        assert_eq!(listed(value), Ok(client(address)), "{value}");
    }
    assert_eq!(usual(&[]), Ok(Forwarded::default()));
    let lines =
        [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "10.0.0.1")];
    assert_eq!(usual(&lines).unwrap().client, client("192.0.2.1:0"));
}

/// What the client has sent itself is at the left of what the first proxy adds.
#[test]
fn what_a_client_makes_up_is_not_looked_at() {
    for made_up in ["127.0.0.1", "garbage", "unknown", "\"", "10.0.0.1, \u{e9}", "::::"] {
        assert_eq!(listed(&format!("{made_up}, 192.0.2.1, 10.0.0.1")), Ok(client("192.0.2.1:0")), "{made_up}");
    }
}

#[test]
fn a_malformed_list_does_not_count_at_all() {
    for value in [
        "garbage",
        "192.0.2.1, garbage",
        "192.0.2.1, garbage, 10.0.0.1",
        "192.0.2.1:x",
        "192.0.2.1:65536",
        "[::1",
        "::1]:80",
        "1.2.3",
    ] {
        assert_eq!(listed(value), Err(Malformed), "{value}");
    }
    assert_eq!(usual(&[("x-forwarded-for", "garbage"), ("x-forwarded-proto", "https")]), Err(Malformed));
}

#[test]
fn an_address_that_a_proxy_hides_ends_the_way() {
    assert_eq!(listed("192.0.2.1, unknown, 10.0.0.1"), Ok(client("10.0.0.1:0")));
    assert_eq!(listed("unknown"), Ok(None));
}

#[test]
fn the_way_is_bounded() {
    let hops = |count: usize| vec!["10.0.0.1"; count].join(",");
    assert_eq!(listed(&hops(32)), Ok(client("10.0.0.1:0")));
    assert_eq!(listed(&hops(33)), Err(Malformed));
    assert_eq!(listed(&format!("{},192.0.2.1", hops(1000))), Ok(client("192.0.2.1:0")));
}

#[test]
fn companions_are_the_word_of_the_proxy_that_the_client_came_to() {
    let with =
        |list: &str, proto: &str| usual(&[("x-forwarded-for", list), ("x-forwarded-proto", proto)]).unwrap().https;
    assert_eq!(with("192.0.2.1, 10.0.0.1", "https"), Some(true));
    assert_eq!(with("192.0.2.1, 10.0.0.1", "https, http"), Some(true));
    // The client's own word is beyond them.
    assert_eq!(with("192.0.2.1, 10.0.0.1", "https, http, http"), Some(false));
    assert_eq!(with("192.0.2.1", "https, http"), Some(false));
    assert_eq!(with("192.0.2.1", "WSS"), Some(true));
    let told =
        usual(&[("x-forwarded-proto", "http"), ("x-forwarded-host", "a.example:8443"), ("x-forwarded-port", "443")]);
    let told = told.unwrap();
    assert_eq!(
        (told.client, told.https, told.host.as_deref(), told.port),
        (None, Some(false), Some("a.example:8443"), Some(443))
    );
}

#[test]
fn malformed_companions_make_all_not_count() {
    for (name, value) in [
        ("x-forwarded-proto", "ftp"),
        ("x-forwarded-proto", "https;"),
        ("x-forwarded-host", "a b"),
        ("x-forwarded-host", "a/b"),
        ("x-forwarded-port", "0"),
        ("x-forwarded-port", "+80"),
        ("x-forwarded-port", "65536"),
    ] {
        assert_eq!(usual(&[("x-forwarded-for", "192.0.2.1"), (name, value)]), Err(Malformed), "{name}: {value}");
    }
}

#[test]
fn headers_that_are_not_configured_do_not_count() {
    let all = headers(&[
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-host", "a.example"),
        ("forwarded", "for=192.0.2.2;proto=https"),
        ("x-real-ip", "192.0.2.3"),
    ]);
    let told = |names: &[&str]| read(&all, &forwarding(names)).unwrap();
    assert_eq!(told(&[]), Forwarded::default());
    assert_eq!(told(&["x-forwarded-for"]), Forwarded { client: client("192.0.2.1:0"), ..Forwarded::default() });
    assert_eq!(told(&["x-forwarded-host"]), Forwarded { host: Some("a.example".into()), ..Forwarded::default() });
    let rfc = Forwarded { client: client("192.0.2.2:0"), https: Some(true), ..Forwarded::default() };
    assert_eq!(told(&["forwarded"]), rfc);
    assert_eq!(told(&["x-real-ip"]).client, client("192.0.2.3:0"));
}

#[test]
fn a_header_with_one_address_has_one() {
    let one = |lines: &[(&str, &str)]| read(&headers(lines), &forwarding(&["x-real-ip"])).map(|told| told.client);
    assert_eq!(one(&[("x-real-ip", "10.0.0.7")]), Ok(client("10.0.0.7:0")));
    assert_eq!(one(&[]), Ok(None));
    assert_eq!(one(&[("x-real-ip", "192.0.2.1, 192.0.2.2")]), Err(Malformed));
    assert_eq!(one(&[("x-real-ip", "192.0.2.1"), ("x-real-ip", "192.0.2.1")]), Err(Malformed));
}

fn rfc(values: &[&str]) -> Result<Forwarded, Malformed> {
    let lines: Vec<_> = values.iter().map(|value| ("forwarded", *value)).collect();
    read(&headers(&lines), &forwarding(&["Forwarded"]))
}

#[test]
fn reads_forwarded() {
    for (value, address) in [
        ("for=192.0.2.43", "192.0.2.43:0"),
        ("For=\"[2001:db8:cafe::17]:4711\"", "[2001:db8:cafe::17]:4711"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60:0"),
        ("for=192.0.2.43, for=10.0.0.1", "192.0.2.43:0"),
        ("for=\"192.0.2.43:80\" ; by=_x , for=\"[2001:db8:1::2]\"", "192.0.2.43:80"),
        ("for=\"192.0.2.43:_port\"", "192.0.2.43:0"),
        ("for=\"192.0.2.4\\3\"", "192.0.2.43:0"),
        ("for=192.0.2.43;ext=\"a,b;for=10.0.0.1\\\"\"", "192.0.2.43:0"),
        ("for=198.51.100.1, for=192.0.2.43, for=10.0.0.1", "192.0.2.43:0"),
    ] {
        assert_eq!(rfc(&[value]).map(|told| told.client), Ok(client(address)), "{value}");
    }
    let told =
        rfc(&["for=192.0.2.1;host=\"a.example:8443\";proto=HTTPS", "for=10.0.0.1;host=inner;proto=http"]).unwrap();
    assert_eq!(
        (told.client, told.https, told.host.as_deref()),
        (client("192.0.2.1:0"), Some(true), Some("a.example:8443"))
    );
    let hidden = rfc(&["for=192.0.2.1;proto=http", "for=_hidden;proto=https"]).unwrap();
    assert_eq!((hidden.client, hidden.https), (None, Some(true)));
    assert_eq!(rfc(&["proto=https"]).unwrap(), Forwarded { https: Some(true), ..Forwarded::default() });
}

/// A quote that the client leaves open would swallow what the proxy adds, if the line were read from the left.
#[test]
fn what_a_client_makes_up_hides_nothing_that_a_proxy_adds() {
    for made_up in ["for=\"", "for=127.0.0.1;x=\"", "for=\"a\\", "\"", "\\\"", "for=127.0.0.1;;", "for"] {
        let value = format!("{made_up}, for=192.0.2.1;proto=https");
        let quoted = format!("{made_up}, for=\"192.0.2.1:80\"");
        let told = rfc(&[&value]).map(|told| (told.client, told.https));
        assert_eq!(told, Ok((client("192.0.2.1:0"), Some(true))), "{value}");
        assert_eq!(rfc(&[&quoted]).map(|told| told.client), Ok(client("192.0.2.1:80")), "{quoted}");
    }
}

#[test]
fn a_malformed_forwarded_does_not_count_at_all() {
    for value in [
        "for",
        "for=",
        "=192.0.2.1",
        "for=192.0.2.1;",
        "for=192.0.2.1;;proto=http",
        "for=192.0.2.1 proto=http",
        "for = 192.0.2.1",
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1:80",
        "for=[2001:db8::1]",
        "for=\"2001:db8::1\"",
        "for=\"[192.0.2.1]\"",
        "for=\"192.0.2.1\"x",
        "for=\"192.0.2.1",
        "for=\"192.0.2.1:\"",
        "for=\"192.0.2.1:99999\"",
        "for=_",
        "for=localhost",
        "for=192.0.2.1;proto=gopher",
        "for=192.0.2.1;host=\"a b\"",
        "garbage, for=10.0.0.1",
    ] {
        assert_eq!(rfc(&[value]), Err(Malformed), "{value}");
    }
}

#[test]
fn strips_what_tells_of_clients() {
    let mut all = headers(&[
        ("Forwarded", "x"),
        ("X-Forwarded-For", "x"),
        ("X-Forwarded-For", "y"),
        ("X_Forwarded_Host", "x"),
        ("X-Real-IP", "x"),
        ("CF-Connecting-IP", "x"),
        ("X-Forwarded-Prefix-Of-Mine", "x"),
        ("Host", "a"),
    ]);
    strip(&mut all, &forwarding(&["cf-connecting-ip"]));
    let left: Vec<&str> = all.keys().map(HeaderName::as_str).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(all.contains_key("host") && all.contains_key("x-forwarded-prefix-of-mine"));
}

proptest! {
    #[test]
    fn never_panics(value in "[ -~\t]{0,80}", names in 0..3_usize) {
        let names: &[&str] = [&["forwarded"], &USUAL[..], &["x-real-ip"]][names];
        for name in ["forwarded", "x-forwarded-for", "x-real-ip"] {
            let _ = read(&headers(&[(name, &value)]), &forwarding(names));
        }
    }

    /// The address that the last proxy has added is what counts, whatever was there before.
    #[test]
    fn the_last_proxy_has_the_last_word(before in "[ -~]{0,60}", port: u16) {
        let list = listed(&format!("{before}, 192.0.2.1:{port}"));
        prop_assert_eq!(list, Ok(client(&format!("192.0.2.1:{port}"))));
        let told = rfc(&[&format!("{before}, for=\"192.0.2.1:{port}\"")]).map(|told| told.client);
        prop_assert_eq!(told, Ok(client(&format!("192.0.2.1:{port}"))));
    }
}
