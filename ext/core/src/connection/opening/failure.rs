//! Why a TLS handshake failed, for the counters and in words for the operator.

use std::{fmt, io};

use rustls::{AlertDescription, Error, InvalidMessage};

use super::super::{Shared, tls_socket::Unencrypted};
use crate::{http::request::Peer, stats::handshakes::Handshake, sync::now};

/// Why a handshake failed.
#[derive(Debug)]
pub(super) struct Failure {
    kind: Handshake,
    why: String,
}

impl Failure {
    /// What rustls, or the socket beneath it, says.
    pub(super) fn of(error: &io::Error) -> Self {
        let cause = error.get_ref();
        if cause.is_some_and(|cause| cause.is::<Unencrypted>()) {
            return Self::new(Handshake::Unencrypted, "it speaks plain HTTP: is this http?");
        }
        match cause.and_then(|cause| cause.downcast_ref::<Error>()) {
            Some(error) => Self::of_tls(error),
            None => Self::new(Handshake::ClientGone, error),
        }
    }

    fn of_tls(error: &Error) -> Self {
        match error {
            Error::AlertReceived(alert) if says_certificate(*alert) => {
                let alert = alert.as_str().unwrap_or("bad_certificate");
                Self::new(Handshake::Certificate, format_args!("it does not accept the server's certificate ({alert})"))
            }
            Error::AlertReceived(AlertDescription::UserCanceled | AlertDescription::CloseNotify) => {
                Self::new(Handshake::ClientGone, "it has changed its mind")
            }
            Error::AlertReceived(alert) => {
                let alert = alert.as_str().unwrap_or("unknown");
                Self::new(Handshake::Incompatible, format_args!("it ended the handshake ({alert})"))
            }
            Error::NoCertificatesPresented => {
                Self::new(Handshake::Certificate, "it has shown no certificate, and this address wants one")
            }
            Error::InvalidCertificate(why) => {
                Self::new(Handshake::Certificate, format_args!("its certificate is not accepted: {why}"))
            }
            Error::NoApplicationProtocol | Error::PeerIncompatible(_) | Error::InappropriateHandshakeMessage { .. } => {
                Self::new(Handshake::Incompatible, error)
            }
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                Self::new(Handshake::Malformed, "what it sends is no TLS")
            }
            error => Self::new(Handshake::Malformed, error),
        }
    }

    fn new(kind: Handshake, why: impl fmt::Display) -> Self {
        Self { kind, why: why.to_string() }
    }

    pub(super) fn is_unencrypted(&self) -> bool {
        self.kind == Handshake::Unencrypted
    }

    /// Counts it, and tells the operator where there may be something to mend.
    pub(super) fn report(&self, peer: &Peer, shared: &Shared) {
        shared.services.stats.handshakes.inc(self.kind);
        if self.kind != Handshake::ClientGone {
            shared.services.warnings.handshake_failed(peer, &self.why, now());
        }
    }
}

/// Whether the client says that it does not like the certificate.
fn says_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::UnrecognisedName
    )
}
