//! What is asked of clients: their certificates, and the authorities and revocation lists that these are checked against.

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::pem;
use crate::config::{ClientVerification, PemSource, VerifyMode};

/// What the files of a [`ClientVerification`] had in them.
#[derive(Debug, Default)]
pub(super) struct ClientFiles {
    pub(super) ca: Option<Vec<u8>>,
    pub(super) crls: Vec<Vec<u8>>,
}

impl ClientFiles {
    pub(super) fn read(wanted: &ClientVerification) -> Result<Self, String> {
        if wanted.mode == VerifyMode::None {
            return Ok(Self::default());
        }
        let read = |path: &Path, what: &str| pem::read_file(path, what);
        Ok(Self {
            ca: wanted.ca.as_deref().map(|path| read(path, "authorities (ca)")).transpose()?,
            crls: wanted.crls.iter().map(|path| read(path, "revocation list (crl)")).collect::<Result<_, _>>()?,
        })
    }
}

/// What checks the clients' certificates; `None` where they are asked for none.
pub(super) fn verifier(
    wanted: &ClientVerification,
    files: &ClientFiles,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let (Some(text), Some(path)) = (&files.ca, &wanted.ca) else { return Ok(None) };
    let authorities = pem::certificates(text, &PemSource::File(path.clone()))?;
    let mut roots = RootCertStore::empty();
    let wrong = |why: String| format!("the authorities (ca) {} cannot be used: {why}", path.display());
    for (number, certificate) in authorities.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| wrong(format!("certificate {}: {error}", number + 1)))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    for (text, path) in files.crls.iter().zip(&wanted.crls) {
        builder = builder.with_crls(pem::revocation_lists(text, path)?);
    }
    if wanted.only_own_revocation {
        builder = builder.only_check_end_entity_revocation();
    }
    if wanted.mode == VerifyMode::Peer {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map(Some).map_err(|error| match error {
        VerifierBuilderError::InvalidCrl(error) => format!("a revocation list (crl) cannot be used: {error:?}"),
        error => wrong(error.to_string()),
    })
}
