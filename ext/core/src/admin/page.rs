//! The page for people at `/`, with its style sheet, its script and its icon: files that are part of the program. The script fetches
//! `/status`, `/stats`, `/metrics` and `/settings`, and the browser is told to take nothing from anywhere else.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

use crate::http::{body::ResponseBody, probe, response::Response};

/// Nothing but this listener's own files and numbers; no page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The answer, if the path is one of the page's.
pub(super) fn answer(method: &Method, path: &str) -> Option<Response> {
    let (text, kind) = match path {
        "/" => (include_str!("page/page.html"), "text/html; charset=utf-8"),
        "/page.css" => (include_str!("page/page.css"), "text/css; charset=utf-8"),
        "/page.svg" => (include_str!("page/page.svg"), "image/svg+xml"),
        "/page.js" => (include_str!("page/page.js"), "text/javascript; charset=utf-8"),
        _ => return None,
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Some(probe::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into()));
    }
    let mut response = probe::text(StatusCode::OK, String::new());
    response.body = ResponseBody::Full(Bytes::from_static(text.as_bytes()));
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers.insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}
