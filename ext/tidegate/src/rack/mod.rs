//! The Rack boundary: a request as an env, the call of the app, and what it returns as a response.

pub(crate) mod app;
pub(crate) mod env;
pub(crate) mod exchange;
pub(crate) mod failure;
pub(crate) mod hash_builder;
pub(crate) mod header_keys;
pub(crate) mod input;
pub(crate) mod lent_string;
pub(crate) mod request_stream;
pub(crate) mod response;
pub(crate) mod response_stream;
