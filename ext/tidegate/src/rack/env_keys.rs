//! The keys of an env that the server sets, and the values that many envs share: frozen strings, made once for each server.

use magnus::{RString, Ruby, gc::Marker, value::Opaque};

macro_rules! keys {
    ($($field:ident = $name:literal,)*) => {
        /// The keys that the server sets in an env, and values that many envs share.
        pub(super) struct EnvKeys { $(pub(super) $field: Opaque<RString>,)* }

        impl EnvKeys {
            pub(super) fn new(ruby: &Ruby) -> Self {
                Self { $($field: ruby.str_new($name).to_interned_str().into(),)* }
            }

            pub(super) fn mark(&self, marker: &Marker) {
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
    http_upgrade = "HTTP_UPGRADE",
    http_connection = "HTTP_CONNECTION",
    http_sec_websocket_key = "HTTP_SEC_WEBSOCKET_KEY",
    http_transfer_encoding = "HTTP_TRANSFER_ENCODING",
    chunked = "chunked",
    queue_wait = "tidegate.queue_wait",
    request_body_wait = "puma.request_body_wait",
    proxy = "tidegate.proxy",
    tls = "tidegate.tls",
    peercert = "puma.peercert",
    https = "HTTPS",
    on = "on",
    trailers = "tidegate.trailers",
    send_trailers = "tidegate.send_trailers",
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
    scheme_https = "https",
    port_443 = "443",
    http_1_1 = "HTTP/1.1",
    http_1_0 = "HTTP/1.0",
    http_2 = "HTTP/2",
    websocket = "websocket",
    upgrade = "Upgrade",
    port_80 = "80",
    get = "GET",
    post = "POST",
    head = "HEAD",
}
