//! A request as a Rack env: a fresh hash for each request, because apps keep it.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, Version, header, request::Parts};
use magnus::{
    Error, RArray, RHash, RString, Ruby, Value,
    gc::Marker,
    prelude::*,
    typed_data::Obj,
    value::{LazyId, Opaque},
};
use tidegate_core::{Peer, RawTarget, TlsInfo, Trailers};

use crate::rack::{
    early_hints::EarlyHints,
    env_keys::EnvKeys,
    exchange::Exchange,
    hash_builder::HashBuilder,
    header_keys::{HeaderKeys, Underscores, is_reserved},
    input::Input,
    protocol_change::{WEB_SOCKET_KEY, connect_protocol, is_web_socket},
    proxy_env,
    tls_env::TlsEnv,
    trailers::{self, SendTrailers},
};

/// Looked up once.
static DUP: LazyId = LazyId::new("dup");

/// Makes the envs of a server.
pub(crate) struct EnvBuilder {
    /// The entries that are the same in every env.
    template: Opaque<RHash>,
    keys: EnvKeys,
    header_keys: HeaderKeys,
    underscores: Underscores,
    tls: TlsEnv,
}

impl EnvBuilder {
    pub(crate) fn new(ruby: &Ruby, template: RHash, underscores: Underscores) -> Result<Self, Error> {
        Ok(Self {
            template: template.into(),
            keys: EnvKeys::new(ruby),
            header_keys: HeaderKeys::default(),
            underscores,
            tls: TlsEnv::default(),
        })
    }

    pub(crate) fn mark(&self, marker: &Marker) {
        marker.mark(self.template);
        self.keys.mark(marker);
        self.header_keys.mark(marker);
        self.tls.mark(marker);
    }

    /// Makes the env of a request, all but what belongs to its exchange.
    pub(crate) fn make(
        &self,
        ruby: &Ruby,
        head: &Parts,
        peer: &Peer,
        times: Times,
        input: &Input,
    ) -> Result<RHash, Error> {
        let keys = &self.keys;
        let env: RHash = ruby.get_inner(self.template).funcall(LazyId::get_inner_with(&DUP, ruby), ())?;
        let mut builder = HashBuilder::new(ruby, env);
        let mut put = |key: Opaque<RString>, value: RString| builder.put(ruby.get_inner(key), value);
        let shared = |value: Opaque<RString>| ruby.get_inner(value);
        let bytes = |text: &str| ruby.str_from_slice(text.as_bytes());

        put(keys.request_method, self.method(ruby, head))?;
        put(keys.script_name, shared(keys.empty))?;
        self.put_target(ruby, &mut builder, head)?;
        let mut put = |key: Opaque<RString>, value: RString| builder.put(ruby.get_inner(key), value);
        let protocol = shared(match head.version {
            Version::HTTP_10 => keys.http_1_0,
            Version::HTTP_2 => keys.http_2,
            _ => keys.http_1_1,
        });
        put(keys.server_protocol, protocol)?;
        // Rack 3.1 has dropped this entry, but Rails 7.2 still decides by it what to stream.
        put(keys.http_version, protocol)?;
        put(keys.rack_url_scheme, shared(if peer.is_https() { keys.scheme_https } else { keys.http }))?;
        put(keys.remote_addr, bytes(&peer.remote_addr))?;
        put(keys.remote_port, bytes(&peer.remote_port.to_string()))?;
        self.put_headers(ruby, &mut builder, &head.headers)?;
        let milliseconds = |duration: Duration| ruby.float_from_f64(duration.as_secs_f64() * 1e3);
        builder.put(ruby.get_inner(keys.queue_wait), milliseconds(times.queue_wait))?;
        let body_wait = times.queued.saturating_duration_since(times.received);
        builder.put(ruby.get_inner(keys.request_body_wait), milliseconds(body_wait))?;
        self.put_host(ruby, &mut builder, head, peer)?;
        if peer.is_https() {
            builder.put(ruby.get_inner(keys.https), ruby.get_inner(keys.on))?;
        }
        if let Some(info) = &peer.tls {
            self.put_tls(ruby, &mut builder, info)?;
        }
        if let Some(said) = &peer.proxy {
            builder.put(ruby.get_inner(keys.proxy), proxy_env::hash(ruby, said)?)?;
        }
        self.put_protocols(ruby, &mut builder, head)?;
        self.put_trailers(ruby, &mut builder, head, input)?;
        if let Some((length, io)) = input.parts() {
            builder.put(ruby.get_inner(keys.rack_input), io)?;
            if let Some(length) = length {
                builder.put(ruby.get_inner(keys.content_length), bytes(&length.to_string()))?;
            } else if head.headers.contains_key(header::TRANSFER_ENCODING)
                || head.version == Version::HTTP_2 && !head.headers.contains_key(header::CONTENT_LENGTH)
            {
                // The only sign of a body when its length is not known yet. HTTP/2 has none, and Rails parses no body without.
                builder.put(ruby.get_inner(keys.http_transfer_encoding), shared(keys.chunked))?;
            }
        }
        builder.flush()?;
        Ok(env)
    }

    /// Adds what belongs to the exchange: `rack.hijack`, `rack.early_hints` if hints may be sent, `tidegate.send_trailers` if the client
    /// takes trailers, and the lists of callbacks.
    #[inline(never)]
    pub(crate) fn add_exchange(
        &self,
        ruby: &Ruby,
        env: RHash,
        exchange: Obj<Exchange>,
        hints: bool,
    ) -> Result<(), Error> {
        let keys = &self.keys;
        let mut builder = HashBuilder::new(ruby, env);
        builder.put(ruby.get_inner(keys.rack_hijack), exchange)?;
        builder.put(ruby.get_inner(keys.rack_response_finished), ruby.ary_new())?;
        builder.put(ruby.get_inner(keys.rack_after_reply), ruby.ary_new())?;
        if hints {
            builder.put(ruby.get_inner(keys.rack_early_hints), ruby.obj_wrap(EarlyHints::new(exchange)))?;
        }
        if let Some(trailers) = exchange.trailers() {
            builder.put(ruby.get_inner(keys.send_trailers), ruby.obj_wrap(SendTrailers(trailers.clone())))?;
        }
        builder.flush()
    }

    /// Whether the app has left no callbacks, in the lists that `add_exchange` made or in lists that the app put in their place.
    #[inline(never)]
    pub(crate) fn has_no_callbacks(&self, ruby: &Ruby, env: RHash) -> bool {
        [self.keys.rack_response_finished, self.keys.rack_after_reply].into_iter().all(|key| {
            let list: Option<Value> = env.get(ruby.get_inner(key));
            list.is_none_or(|list| list.is_nil() || RArray::from_value(list).is_some_and(|list| list.is_empty()))
        })
    }

    /// The protocols that the client offers to change to (RFC 9110 §7.8, RFC 8441 §4).
    fn put_protocols(&self, ruby: &Ruby, builder: &mut HashBuilder<'_>, head: &Parts) -> Result<(), Error> {
        let keys = &self.keys;
        if let Some(protocol) = connect_protocol(head) {
            if is_web_socket(protocol) {
                builder.put(ruby.get_inner(keys.http_upgrade), ruby.get_inner(keys.websocket))?;
                builder.put(ruby.get_inner(keys.http_connection), ruby.get_inner(keys.upgrade))?;
                builder.put(ruby.get_inner(keys.http_sec_websocket_key), ruby.str_new(WEB_SOCKET_KEY))?;
            }
            let offered = ruby.ary_new();
            offered.push(ruby.str_from_slice(protocol.as_bytes()))?;
            return builder.put(ruby.get_inner(keys.rack_protocol), offered);
        }
        if head.version == Version::HTTP_2
            || head.version < Version::HTTP_11
            || !head.headers.contains_key(header::UPGRADE)
        {
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
        builder.put(ruby.get_inner(self.keys.rack_protocol), offered)
    }

    /// What came behind the body. Where that is still arriving, the hash is filled when the app has read it to its end.
    fn put_trailers(
        &self,
        ruby: &Ruby,
        builder: &mut HashBuilder<'_>,
        head: &Parts,
        input: &Input,
    ) -> Result<(), Error> {
        let hash = match (input, head.extensions.get::<Trailers>()) {
            (Input::Stream { trailers, .. }, _) => *trailers,
            (_, Some(Trailers(fields))) => {
                let hash = ruby.hash_new();
                trailers::fill(ruby, hash, fields)?;
                hash
            }
            (_, None) => return Ok(()),
        };
        builder.put(ruby.get_inner(self.keys.trailers), hash)
    }

    /// Path and query, byte for byte as the client sent them, also where hyper has them in another form.
    fn put_target(&self, ruby: &Ruby, builder: &mut HashBuilder<'_>, head: &Parts) -> Result<(), Error> {
        let keys = &self.keys;
        let mut put = |key: Opaque<RString>, value: RString| builder.put(ruby.get_inner(key), value);
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
            // The GET of the handshake as which it is shown.
            http::Method::CONNECT if connect_protocol(head).is_some_and(is_web_socket) => ruby.get_inner(self.keys.get),
            ref other => ruby.str_from_slice(other.as_str().as_bytes()),
        }
    }

    fn put_headers(&self, ruby: &Ruby, builder: &mut HashBuilder<'_>, headers: &HeaderMap) -> Result<(), Error> {
        let mut dropped: Option<RArray> = None;
        for name in headers.keys() {
            // The server has taken the body out of its chunks.
            if name == header::TRANSFER_ENCODING {
                continue;
            }
            if !self.underscores.allow(name, headers) || is_reserved(name) {
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
            builder.put(self.header_keys.key(ruby, name), value)?;
        }
        match dropped {
            Some(dropped) => builder.put(ruby.get_inner(self.keys.dropped_headers), dropped),
            None => Ok(()),
        }
    }

    /// How the connection is encrypted.
    fn put_tls(&self, ruby: &Ruby, builder: &mut HashBuilder<'_>, info: &TlsInfo) -> Result<(), Error> {
        let keys = &self.keys;
        let entries = self.tls.entries(ruby, info)?;
        builder.put(ruby.get_inner(keys.tls), ruby.get_inner(entries.info))?;
        match entries.certificate {
            Some(certificate) => builder.put(ruby.get_inner(keys.peercert), ruby.get_inner(certificate)),
            None => Ok(()),
        }
    }

    /// `SERVER_NAME` and `SERVER_PORT`, from what the client asked for: what trusted proxies tell before an absolute target, that
    /// before `Host` (RFC 9112 §3.2.2), and the address that the server listens on where there is neither.
    fn put_host(&self, ruby: &Ruby, builder: &mut HashBuilder<'_>, head: &Parts, peer: &Peer) -> Result<(), Error> {
        let told = peer.forwarded.as_deref();
        let told_host = told.and_then(|told| told.host.as_deref());
        let told_port = told.and_then(|told| told.port);
        let authority = told_host.or_else(|| head.uri.authority().map(http::uri::Authority::as_str));
        let authority = authority.map(str::as_bytes);
        if let Some(authority) = authority {
            builder.put(ruby.get_inner(self.keys.http_host), ruby.str_from_slice(authority))?;
        }
        let host = authority.or_else(|| head.headers.get(header::HOST).map(|host| host.as_bytes()));
        let name = ruby.get_inner(self.keys.server_name);
        let port = ruby.get_inner(self.keys.server_port);
        match host.map(split_port) {
            Some((host, number)) if !host.is_empty() => {
                builder.put(name, ruby.str_from_slice(host))?;
                let usual = if peer.is_https() { self.keys.port_443 } else { self.keys.port_80 };
                let number = match (number, told_port) {
                    (number, Some(told)) if number.is_none() || told_host.is_none() => ruby.str_new(&told.to_string()),
                    (Some(number), _) => ruby.str_from_slice(number),
                    (None, _) => ruby.get_inner(usual),
                };
                builder.put(port, number)
            }
            _ => {
                builder.put(name, ruby.str_from_slice(peer.local_host.as_bytes()))?;
                builder.put(port, ruby.str_from_slice(peer.local_port.to_string().as_bytes()))
            }
        }
    }
}

/// All values of a header as one, as CGI has it: cookies are joined as a client joins them, other values to a list.
pub(super) fn joined(ruby: &Ruby, name: &HeaderName, headers: &HeaderMap) -> Value {
    let mut values = headers.get_all(name).iter();
    let first = ruby.str_from_slice(values.next().map_or(b"", |value| value.as_bytes()));
    let separator: &[u8] = if name == header::COOKIE { b"; " } else { b", " };
    for value in values {
        first.cat(separator);
        first.cat(value.as_bytes());
    }
    first.as_value()
}

/// When a request came, when the connection put it into the queue, and how long it was there.
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
