//! TLS handshakes by how they ended.

use super::counter::labels;

labels! {
    /// How a TLS handshake ended.
    pub(crate) enum Handshake by "result" {
        /// A new session.
        Complete = "complete",
        /// A session of an earlier connection goes on.
        Resumed = "resumed",
        /// The client has closed before it was complete.
        ClientGone = "client_gone",
        /// It was not complete in time.
        Timeout = "timeout",
        /// A new connection needed its place.
        GaveWay = "gave_way",
        /// The client speaks plain HTTP.
        Unencrypted = "unencrypted",
        /// There is no version, cipher suite, group or protocol that both have.
        Incompatible = "incompatible",
        /// The client does not accept the server's certificate, or has none that the server accepts.
        Certificate = "certificate",
        /// What the client sent is no TLS handshake.
        Malformed = "malformed",
    }
}
