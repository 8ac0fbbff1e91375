//! Fields that belong to one connection of HTTP/1, and not to the message (RFC 9110 §7.6.1).

use http::{HeaderMap, HeaderName, header};

/// Those that HTTP/2 has frames for, or does without (RFC 9113 §8.2.2). Of `te` it has the value `trailers`, in requests alone.
const FIELDS: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Removes them, and what `connection` names, from the head of a response: h2 sends none that has one of them.
pub(crate) fn remove(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named = tokens(headers, header::CONNECTION).filter_map(|name| name.parse::<HeaderName>().ok());
        for name in named.collect::<Vec<_>>() {
            headers.remove(name);
        }
    }
    for name in FIELDS {
        headers.remove(name);
    }
}

/// The elements of a field that is a list.
pub(crate) fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}
