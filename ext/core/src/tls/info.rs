//! What a TLS handshake has agreed on, for the app.

use rustls::{CommonState, HandshakeKind, ProtocolVersion, server::ServerConnection};

/// What a connection's TLS handshake has agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite, as IANA names it: `TLS13_AES_256_GCM_SHA384` without the `13`.
    pub cipher: String,
    /// The name that the client asked for (SNI), in lower case.
    pub server_name: Option<String>,
    /// The protocol that was agreed on (ALPN), if the client named any: `http/1.1`, `h2`.
    pub alpn: Option<String>,
    /// The handshake went on with the keys of an earlier one.
    pub resumed: bool,
    /// The client's certificate and those behind it, in DER; none where the client has shown none.
    pub client_certificates: Vec<Vec<u8>>,
}

impl TlsInfo {
    /// Of a connection with a handshake that is complete.
    pub(crate) fn of(connection: &ServerConnection) -> Self {
        let state: &CommonState = connection;
        let version = match state.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let suite = state.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        let certificates = state.peer_certificates().unwrap_or_default();
        Self {
            version,
            cipher: suite.unwrap_or_default().replacen("TLS13_", "TLS_", 1),
            server_name: connection.server_name().map(str::to_owned),
            alpn: state.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            client_certificates: certificates.iter().map(|certificate| certificate.to_vec()).collect(),
        }
    }
}
