//! What the server adds to requests that come without it: an id, and the time of their arrival.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::AddedHeaders;

/// The header of the id, in both directions.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const QUEUE_START: HeaderName = HeaderName::from_static("x-queue-start");

/// The most bytes of an id that is taken from the client.
const LONGEST: usize = 200;

impl AddedHeaders {
    /// Adds them to a request that has just come, and returns its id.
    pub(crate) fn add_to(self, headers: &mut HeaderMap) -> Option<HeaderValue> {
        if self.request_start && !headers.contains_key(REQUEST_START) && !headers.contains_key(QUEUE_START) {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            // As nginx writes it, which every agent reads: seconds, with a fraction.
            let text = format!("t={}.{:03}", since.as_secs(), since.subsec_millis());
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(REQUEST_START, value);
            }
        }
        if !self.request_id {
            return None;
        }
        if let Some(id) = headers.get(REQUEST_ID)
            && is_sane(id.as_bytes())
        {
            return Some(id.clone());
        }
        let id = HeaderValue::from_str(&format!("{:032x}", fastrand::u128(..))).ok()?;
        headers.insert(REQUEST_ID, id.clone());
        Some(id)
    }
}

/// Whether an id can go into logs and headers as it is.
fn is_sane(id: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=~@".contains(byte);
    (1..=LONGEST).contains(&id.len()) && id.iter().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: AddedHeaders = AddedHeaders { request_id: true, request_start: true };

    fn added(wanted: AddedHeaders, sent: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers: HeaderMap =
            sent.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
        assert_eq!(wanted.add_to(&mut headers).is_some(), wanted.request_id);
        headers
    }

    #[test]
    fn adds_what_comes_without() {
        let headers = added(ALL, &[]);
        assert_eq!(headers[REQUEST_ID].len(), 32);
        assert!(headers[REQUEST_START].to_str().unwrap().starts_with("t=1"));
        assert!(added(AddedHeaders::default(), &[]).is_empty());
    }

    #[test]
    fn keeps_what_a_proxy_has_said() {
        let headers = added(ALL, &[("x-request-id", "abc-1.2"), ("x-queue-start", "t=5")]);
        assert_eq!(headers[REQUEST_ID], "abc-1.2");
        assert!(!headers.contains_key(REQUEST_START));
    }

    #[test]
    fn replaces_an_id_that_is_none() {
        for id in ["", "a b", "a\"b"] {
            assert_ne!(added(ALL, &[("x-request-id", id)])[REQUEST_ID], id);
        }
    }
}
