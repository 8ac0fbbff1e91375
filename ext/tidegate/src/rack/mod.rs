//! The Rack boundary: a request as an env, the call of the app, and what the app returns as a response.

pub(crate) mod app;
pub(crate) mod early_hints;
mod env;
mod env_keys;
pub(crate) mod exchange;
mod failure;
mod hash_builder;
pub(crate) mod header_keys;
pub(crate) mod hijack;
mod input;
pub(crate) mod lent_string;
mod protocol_change;
mod proxy_env;
pub(crate) mod request_stream;
mod response;
mod response_body;
mod response_headers;
pub(crate) mod response_stream;
pub(crate) mod seats;
mod tls_env;
pub(crate) mod trailers;
