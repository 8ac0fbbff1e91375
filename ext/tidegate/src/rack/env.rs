//! A request as a Rack env: a fresh hash for each, never used again, because apps keep it.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, Version, header, request::Parts};
use magnus::{Error, RArray, RHash, RString, Ruby, Value, gc::Marker, prelude::*, typed_data::Obj, value::Opaque};
use tidegate_core::{Peer, RawTarget};

use crate::rack::{
    exchange::{EarlyHints, Exchange},
    hash_builder::Pairs,
    header_keys::Names,
    input::Input,
};

/// What all envs of a server have in common.
pub(crate) struct EnvMaker {
    template: Opaque<RHash>,
    keys: Keys,
    names: Names,
    underscores: Underscores,
}

/// Header names with underscores look like those with dashes once they are env keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Underscores {
    /// Only those of which no dashed twin is there.
    Unambiguous,
    /// All but those whose keys Rack forbids.
    All,
    /// None.
    None,
}

macro_rules! keys {
    ($($field:ident = $name:literal,)*) => {
        /// The keys of every env, and values that many share: frozen strings.
        struct Keys { $($field: Opaque<RString>,)* }

        impl Keys {
            fn new(ruby: &Ruby) -> Self {
                Self { $($field: ruby.str_new($name).to_interned_str().into(),)* }
            }

            fn mark(&self, marker: &Marker) {
                $(marker.mark(self.$field);)*
            }
        }
    };
}

keys! {
    request_method = "REQUEST_METHOD",
    script_name = "SCRIPT_NAME",
    path_info = "PATH_INFO",
    query_string = "QUERY_STRING",
    request_uri = "REQUEST_URI",
    request_path = "REQUEST_PATH",
    server_name = "SERVER_NAME",
    server_port = "SERVER_PORT",
    server_protocol = "SERVER_PROTOCOL",
    http_version = "HTTP_VERSION",
    remote_addr = "REMOTE_ADDR",
    remote_port = "REMOTE_PORT",
    content_length = "CONTENT_LENGTH",
    http_host = "HTTP_HOST",
    http_transfer_encoding = "HTTP_TRANSFER_ENCODING",
    chunked = "chunked",
    queue_wait = "tidegate.queue_wait",
    request_body_wait = "puma.request_body_wait",
    dropped_headers = "tidegate.dropped_headers",
    rack_input = "rack.input",
    rack_url_scheme = "rack.url_scheme",
    rack_hijack = "rack.hijack",
    rack_early_hints = "rack.early_hints",
    rack_protocol = "rack.protocol",
    rack_response_finished = "rack.response_finished",
    rack_after_reply = "rack.after_reply",
    empty = "",
    http = "http",
    http_1_1 = "HTTP/1.1",
    http_1_0 = "HTTP/1.0",
    port_80 = "80",
    get = "GET",
    post = "POST",
    head = "HEAD",
}

impl EnvMaker {
    pub(crate) fn new(ruby: &Ruby, template: RHash, underscores: Underscores) -> Result<Self, Error> {
        Ok(Self { template: template.into(), keys: Keys::new(ruby), names: Names::default(), underscores })
    }

    pub(crate) fn mark(&self, marker: &Marker) {
        marker.mark(self.template);
        self.keys.mark(marker);
        self.names.mark(marker);
    }

    /// The env of one request.
    pub(crate) fn make(
        &self,
        ruby: &Ruby,
        head: &Parts,
        peer: &Peer,
        times: Times,
        input: &Input,
    ) -> Result<RHash, Error> {
        let keys = &self.keys;
        let env: RHash = ruby.get_inner(self.template).funcall("dup", ())?;
        let mut pairs = Pairs::of(ruby, env);
        let mut put = |key: Opaque<RString>, value: RString| pairs.put(ruby.get_inner(key), value);
        let shared = |value: Opaque<RString>| ruby.get_inner(value);
        let bytes = |text: &str| ruby.str_from_slice(text.as_bytes());

        put(keys.request_method, self.method(ruby, head))?;
        put(keys.script_name, shared(keys.empty))?;
        self.put_target(ruby, &mut pairs, head)?;
        let mut put = |key: Opaque<RString>, value: RString| pairs.put(ruby.get_inner(key), value);
        let protocol = shared(if head.version == Version::HTTP_10 { keys.http_1_0 } else { keys.http_1_1 });
        put(keys.server_protocol, protocol)?;
        // Rack has dropped it with 3.1, and Rails 7.2 still decides by it what to stream.
        put(keys.http_version, protocol)?;
        put(keys.rack_url_scheme, shared(keys.http))?;
        put(keys.remote_addr, bytes(&peer.remote_addr))?;
        put(keys.remote_port, bytes(&peer.remote_port.to_string()))?;
        self.put_headers(ruby, &mut pairs, &head.headers)?;
        let milliseconds = |duration: Duration| ruby.float_from_f64(duration.as_secs_f64() * 1e3);
        pairs.put(ruby.get_inner(keys.queue_wait), milliseconds(times.queue_wait))?;
        let body_wait = times.queued.saturating_duration_since(times.received);
        pairs.put(ruby.get_inner(keys.request_body_wait), milliseconds(body_wait))?;
        self.put_host(ruby, &mut pairs, head, peer)?;
        self.put_protocols(ruby, &mut pairs, head)?;
        if let Some((length, io)) = input.parts() {
            pairs.put(ruby.get_inner(keys.rack_input), io)?;
            if let Some(length) = length {
                pairs.put(ruby.get_inner(keys.content_length), bytes(&length.to_string()))?;
            } else if head.headers.contains_key(header::TRANSFER_ENCODING) {
                // The only sign of a body whose length nobody knows yet.
                pairs.put(ruby.get_inner(keys.http_transfer_encoding), shared(keys.chunked))?;
            }
        }
        pairs.flush()?;
        Ok(env)
    }

    /// Adds what belongs to the exchange: how to take the connection over, hints if they may be sent, and the lists of
    /// callbacks.
    pub(crate) fn add_exchange(
        &self,
        ruby: &Ruby,
        env: RHash,
        exchange: Obj<Exchange>,
        hints: bool,
    ) -> Result<(), Error> {
        let keys = &self.keys;
        let mut pairs = Pairs::of(ruby, env);
        pairs.put(ruby.get_inner(keys.rack_hijack), exchange)?;
        pairs.put(ruby.get_inner(keys.rack_response_finished), ruby.ary_new())?;
        pairs.put(ruby.get_inner(keys.rack_after_reply), ruby.ary_new())?;
        if hints {
            pairs.put(ruby.get_inner(keys.rack_early_hints), ruby.obj_wrap(EarlyHints::new(exchange)))?;
        }
        pairs.flush()
    }

    /// Whether nobody has asked to be called back, in the lists that `add_exchange` made or in others in their place.
    pub(crate) fn nobody_waits(&self, ruby: &Ruby, env: RHash) -> bool {
        [self.keys.rack_response_finished, self.keys.rack_after_reply].into_iter().all(|key| {
            let list: Option<Value> = env.get(ruby.get_inner(key));
            list.is_none_or(|list| list.is_nil() || RArray::from_value(list).is_some_and(|list| list.is_empty()))
        })
    }

    /// The protocols that the client offers to change to (RFC 9110 §7.8).
    fn put_protocols(&self, ruby: &Ruby, pairs: &mut Pairs<'_>, head: &Parts) -> Result<(), Error> {
        if head.version < Version::HTTP_11 || !head.headers.contains_key(header::UPGRADE) {
            return Ok(());
        }
        let offered = ruby.ary_new();
        for value in head.headers.get_all(header::UPGRADE) {
            for name in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if !name.is_empty() {
                    offered.push(ruby.str_from_slice(name))?;
                }
            }
        }
        pairs.put(ruby.get_inner(self.keys.rack_protocol), offered)
    }

    /// Path and query, as the client sent them: also where hyper has them in another form.
    fn put_target(&self, ruby: &Ruby, pairs: &mut Pairs<'_>, head: &Parts) -> Result<(), Error> {
        let keys = &self.keys;
        let mut put = |key: Opaque<RString>, value: RString| pairs.put(ruby.get_inner(key), value);
        let raw = head.extensions.get::<RawTarget>();
        let (path, query) = match raw {
            Some(raw) => raw.path_and_query(),
            None => (head.uri.path().as_bytes(), head.uri.query().map(str::as_bytes)),
        };
        let path = ruby.str_from_slice(path);
        put(keys.path_info, path)?;
        put(keys.request_path, path)?;
        let query_string = query.map_or_else(|| ruby.get_inner(keys.empty), |query| ruby.str_from_slice(query));
        put(keys.query_string, query_string)?;
        let uri = match raw {
            Some(raw) => ruby.str_from_slice(raw.as_bytes()),
            None if query.is_none() && head.uri.scheme().is_none() => path,
            None => ruby.str_from_slice(head.uri.to_string().as_bytes()),
        };
        put(keys.request_uri, uri)
    }

    fn method(&self, ruby: &Ruby, head: &Parts) -> RString {
        match head.method {
            http::Method::GET => ruby.get_inner(self.keys.get),
            http::Method::POST => ruby.get_inner(self.keys.post),
            http::Method::HEAD => ruby.get_inner(self.keys.head),
            ref other => ruby.str_from_slice(other.as_str().as_bytes()),
        }
    }

    fn put_headers(&self, ruby: &Ruby, pairs: &mut Pairs<'_>, headers: &HeaderMap) -> Result<(), Error> {
        let mut dropped: Option<RArray> = None;
        for name in headers.keys() {
            // The body has arrived and lost its chunks.
            if name == header::TRANSFER_ENCODING {
                continue;
            }
            if !self.underscores.allow(name, headers) || is_the_servers(name) {
                let name = ruby.str_new(name.as_str());
                match dropped {
                    Some(dropped) => dropped.push(name)?,
                    None => {
                        let first = ruby.ary_new();
                        first.push(name)?;
                        dropped = Some(first);
                    }
                }
                continue;
            }
            let value = joined(ruby, name, headers);
            pairs.put(self.names.key(ruby, name), value)?;
        }
        match dropped {
            Some(dropped) => pairs.put(ruby.get_inner(self.keys.dropped_headers), dropped),
            None => Ok(()),
        }
    }

    /// `SERVER_NAME` and `SERVER_PORT`, from what the client asked for: an absolute target before `Host`
    /// (RFC 9112 §3.2.2), our own address where there is neither.
    fn put_host(&self, ruby: &Ruby, pairs: &mut Pairs<'_>, head: &Parts, peer: &Peer) -> Result<(), Error> {
        let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
        if let Some(authority) = authority {
            pairs.put(ruby.get_inner(self.keys.http_host), ruby.str_from_slice(authority))?;
        }
        let host = authority.or_else(|| head.headers.get(header::HOST).map(|host| host.as_bytes()));
        let name = ruby.get_inner(self.keys.server_name);
        let port = ruby.get_inner(self.keys.server_port);
        match host.map(split_port) {
            Some((host, number)) if !host.is_empty() => {
                pairs.put(name, ruby.str_from_slice(host))?;
                let number =
                    number.map_or_else(|| ruby.get_inner(self.keys.port_80), |number| ruby.str_from_slice(number));
                pairs.put(port, number)
            }
            _ => {
                pairs.put(name, ruby.str_from_slice(peer.local_host.as_bytes()))?;
                pairs.put(port, ruby.str_from_slice(peer.local_port.to_string().as_bytes()))
            }
        }
    }
}

/// All values of a header as one, as CGI has it: cookies joined as a client would have, others as a list.
fn joined(ruby: &Ruby, name: &HeaderName, headers: &HeaderMap) -> Value {
    let mut values = headers.get_all(name).iter();
    let first = ruby.str_from_slice(values.next().map_or(b"", |value| value.as_bytes()));
    let separator: &[u8] = if name == header::COOKIE { b"; " } else { b", " };
    for value in values {
        first.cat(separator);
        first.cat(value.as_bytes());
    }
    first.as_value()
}

/// Whether a header would pass for what the server says: `Version` for `HTTP_VERSION`, which older apps and Rack itself take for
/// the protocol's, and `Proxy` for the `HTTP_PROXY` that makes HTTP clients in CGI programs send their requests elsewhere.
fn is_the_servers(name: &HeaderName) -> bool {
    matches!(name.as_str(), "version" | "proxy")
}

impl Underscores {
    /// Whether a name with underscores may be an env key, although it may pass for another header's: for that of one
    /// that is there too, as `X_Real_IP` for `X-Real-IP`, or for what the body is, which the server says.
    fn allow(self, name: &HeaderName, headers: &HeaderMap) -> bool {
        let name = name.as_str();
        if !name.contains('_') {
            return true;
        }
        let forbidden = matches!(name, "content_type" | "content_length" | "transfer_encoding");
        match self {
            Self::None => false,
            Self::All => !forbidden,
            Self::Unambiguous => !forbidden && !headers.contains_key(name.replace('_', "-").as_str()),
        }
    }
}

/// When a request came, when it was given to the queue, and how long it was there.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) received: Instant,
    pub(crate) queued: Instant,
    pub(crate) queue_wait: Duration,
}

/// A host without its port, and the port if it has one.
fn split_port(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    let colon = host.iter().rposition(|byte| *byte == b':');
    match colon {
        Some(colon)
            if host[colon + 1..].iter().all(u8::is_ascii_digit)
                && !host[..colon].contains(&b':') | host[..colon].ends_with(b"]") =>
        {
            let port = &host[colon + 1..];
            (&host[..colon], (!port.is_empty()).then_some(port))
        }
        _ => (host, None),
    }
}
