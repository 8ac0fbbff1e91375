//! What is read from files, or was given as text: certificates and private keys in PEM, keys with a password among them.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer,
    pem::{self, PemObject, SectionKind},
};

use super::password::Password;
use crate::config::PemSource;

/// The most bytes that are read of a file: the certificates of all authorities there are take a fifth of it.
const MOST_BYTES: u64 = 1 << 20;

/// Reads a source whole. `what` is for the sentence that `Err` is.
pub(super) fn read(source: &PemSource, what: &str) -> Result<Vec<u8>, String> {
    match source {
        PemSource::File(path) => read_file(path, what),
        PemSource::Text(text) => Ok(text.clone().into_bytes()),
    }
}

/// The same for a file.
pub(super) fn read_file(path: &Path, what: &str) -> Result<Vec<u8>, String> {
    let cannot = |why: String| format!("cannot read the {what} {}: {why}", path.display());
    let metadata = std::fs::metadata(path).map_err(|error| cannot(explain(&error)))?;
    if !metadata.is_file() {
        return Err(cannot("it is no file".into())); // to open a pipe could take for ever
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| cannot(explain(&error)))?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| cannot(explain(&error)))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(cannot("it is larger than 1 MiB, and so nothing of that kind".into()));
    }
    Ok(bytes)
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => {
            "the user that runs the server may not: give it the right (chgrp, chmod g+r)".into()
        }
        _ => error.to_string(),
    }
}

/// All certificates, in their order.
pub(super) fn certificates(text: &[u8], source: &PemSource) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: String| format!("the certificate {source} cannot be used: {why}");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(format!("it is damaged ({error})")))?;
    if chain.is_empty() {
        return Err(wrong("there is no CERTIFICATE in PEM in it".into()));
    }
    Ok(chain)
}

/// All revocation lists.
pub(super) fn revocation_lists(text: &[u8], path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the revocation list {} is damaged: {error}", path.display()))?;
    if lists.is_empty() {
        return Err(format!(
            "there is no X509 CRL in PEM in {}: openssl crl -inform DER makes it of another form",
            path.display()
        ));
    }
    Ok(lists)
}

/// The first private key, in any of its three forms.
pub(super) fn private_key(
    text: &[u8],
    source: &PemSource,
    password: &mut Password<'_>,
) -> Result<PrivateKeyDer<'static>, String> {
    let wrong = |why: String| format!("the key {source} cannot be used: {why}");
    if contains(text, b"Proc-Type: 4,ENCRYPTED") {
        return Err(wrong(
            "it has a password in an old form; openssl pkcs8 -topk8 -in OLD -out NEW writes it in the new one".into(),
        ));
    }
    if contains(text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        let der = encrypted_key(text).ok_or_else(|| wrong("it is damaged".into()))?;
        let password = password.get().map_err(wrong)?;
        return decrypt(&der, password).map_err(wrong);
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => wrong("there is no PRIVATE KEY in PEM in it".into()),
        error => wrong(format!("it is damaged ({error})")),
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// The bytes of the first key with a password. The reader of PEM knows no such section, so that it is shown one that it knows.
fn encrypted_key(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let begin = text.find("-----BEGIN ENCRYPTED PRIVATE KEY-----")?;
    let renamed = text[begin..].replace(" ENCRYPTED PRIVATE KEY-----", " PRIVATE KEY-----");
    let (kind, der) = pem::from_buf(&mut renamed.as_bytes()).ok()??;
    (kind == SectionKind::PrivateKey).then_some(der)
}

fn decrypt(der: &[u8], password: &str) -> Result<PrivateKeyDer<'static>, String> {
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| "it is damaged".to_owned())?;
    let key = encrypted.decrypt(password).map_err(|_| {
        "the password that key_password_command prints does not open it, or it is encrypted in a way that is not known here \
         (openssl pkcs8 -topk8 -v2 aes256 writes one that is)"
            .to_owned()
    })?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec())))
}
