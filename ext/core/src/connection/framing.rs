//! How a response is framed: what of its head and its body goes out to this request, and how its end is marked. Framing is the
//! server's alone; an app's mistake in it must not put the connection out of step.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header, request::Parts};

use super::{
    Shared,
    wrong_length::{Declared, Target},
};
use crate::http::{
    body::ResponseBody,
    hop_by_hop,
    response::{MOST_HEADER_NAMES, Response},
};

/// What the response to a request may look like.
#[derive(Debug)]
pub(super) struct Framing {
    /// HEAD: the length of a body that is not sent.
    head_only: bool,
    pub(super) version: Version,
    /// What was asked for, to name it where a length is wrong; `None` for a probe.
    target: Option<Target>,
}

/// A response whose framing is settled.
#[derive(Debug)]
pub(super) struct Framed {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: ResponseBody,
    /// The length that the head declares, where a body follows it.
    pub(super) length: Option<u64>,
    /// That length, where the body may turn out to have another while it is sent.
    pub(super) unsure: Option<Box<Declared>>,
    /// The end of the connection is the end of the body.
    pub(super) close_delimited: bool,
}

impl Framing {
    pub(super) fn of_probe(head: &Parts) -> Self {
        Self { head_only: head.method == Method::HEAD, version: head.version, target: None }
    }

    pub(super) fn of_request(head: &Parts) -> Self {
        Self { target: Some(Target::of(head)), ..Self::of_probe(head) }
    }

    /// Whether it goes out on a stream of HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.version == Version::HTTP_2
    }

    /// Frames a response, and tells the operator of a length that is wrong.
    pub(super) fn frame(&mut self, mut response: Response, shared: &Arc<Shared>) -> Framed {
        if response.headers.keys_len() > MOST_HEADER_NAMES {
            // No room for those that frame the message: to add one would panic, here or in hyper.
            response = Response::app_failed();
        }
        let Response { status, mut headers, body } = response;
        let none = matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
        let bodiless = self.head_only || none;
        match status {
            StatusCode::NO_CONTENT => drop(headers.remove(header::CONTENT_LENGTH)),
            // It says that there is no content (RFC 9110 §15.3.6).
            StatusCode::RESET_CONTENT => drop(headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"))),
            _ => {}
        }
        // hyper alone frames the message.
        headers.remove(header::TRANSFER_ENCODING);
        if self.head_only
            && !none
            && !headers.contains_key(header::CONTENT_LENGTH)
            && let (ResponseBody::Full(_) | ResponseBody::Parts(_), Some(length)) = (&body, body.length())
        {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let unsure = if none { None } else { declared.and_then(|declared| self.compare(declared, &body, shared)) };
        let body = if bodiless { ResponseBody::Empty } else { body };
        // HTTP/1.0 knows no chunks: where no length is known, the end of the connection is the end of the body.
        let close_delimited =
            matches!(body, ResponseBody::Stream(_)) && declared.is_none() && self.version < Version::HTTP_11;
        let length = if bodiless { None } else { declared };
        if self.is_http2() {
            hop_by_hop::remove(&mut headers);
            if !bodiless
                && declared.is_none()
                && let Some(length) = body.length()
            {
                headers.insert(header::CONTENT_LENGTH, length.into());
            }
        }
        Framed { status, headers, body, length, unsure, close_delimited }
    }

    /// Compares the body's length with the one declared, where the app has given both. What can't be known yet is compared
    /// later: by a stream's end, and by the reader of a file.
    fn compare(&mut self, declared: u64, body: &ResponseBody, shared: &Arc<Shared>) -> Option<Box<Declared>> {
        // To HEAD, an app may tell the length of a body that it does not make.
        if self.head_only && matches!(body, ResponseBody::Empty | ResponseBody::Stream(_)) {
            return None;
        }
        let whole = body.length();
        if whole == Some(declared) && !matches!(body, ResponseBody::File(_)) {
            return None;
        }
        let declared_length = self.target.take()?.declares(declared, shared.clone());
        match (body, whole) {
            (ResponseBody::Stream(stream), _) => stream.expect(declared, move |actual| declared_length.compare(actual)),
            (_, Some(actual)) if actual != declared => declared_length.compare(actual),
            _ => return Some(Box::new(declared_length)),
        }
        None
    }
}
