//! What is said in HTTP: heads and bodies in both directions, and the guard in front of hyper. Knows no connection.

pub(crate) mod added_headers;
pub(crate) mod body;
pub(crate) mod date;
pub(crate) mod forwarded;
pub(crate) mod guard;
pub(crate) mod hop_by_hop;
pub(crate) mod probe;
pub(crate) mod proxy_protocol;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod written_response;
