//! From the options of an address to what its connections are encrypted with: the files are read, then everything in them is checked.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use rustls::{
    InconsistentKeys, ServerConfig, SupportedProtocolVersion,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::{
    certificate::{Certificate, disorder},
    ciphers,
    clients::{self, ClientFiles},
    development,
    password::Password,
    pem,
    resolver::Resolver,
    tickets::{Keyring, Ticketer},
};
use crate::config::{CertificateSource, PemSource, TlsOptions};

/// What all files of an address had in them at one moment.
#[derive(Debug)]
pub(super) struct Material {
    sources: Vec<CertificateSource>,
    /// For each source its certificates and its key.
    texts: Vec<(Vec<u8>, Vec<u8>)>,
    clients: ClientFiles,
}

impl Material {
    /// Reads the files. `Err` names the one that cannot be read.
    pub(super) fn read(options: &TlsOptions, now: i64) -> Result<Self, String> {
        let mut sources = options.certificates.clone();
        if let Some(directory) = &options.development {
            let file = development::provide(directory, now)?;
            sources.push(CertificateSource { cert: PemSource::File(file), key: None });
        }
        let texts = sources
            .iter()
            .map(|source| {
                let cert = pem::read(&source.cert, "certificate (cert)")?;
                let key = source.key.as_ref().map(|key| pem::read(key, "private key (key)"));
                Ok((cert.clone(), key.unwrap_or(Ok(cert))?))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { sources, texts, clients: ClientFiles::read(&options.clients)? })
    }

    /// A number that is another one when anything in the files is, and the same in all processes of a cluster.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.texts.hash(&mut hasher);
        self.clients.ca.hash(&mut hasher);
        self.clients.crls.hash(&mut hasher);
        hasher.finish()
    }

    /// A number for what is asked of clients: a ticket that was given under other rules is good for nothing.
    fn context(&self, options: &TlsOptions) -> u64 {
        let mut hasher = DefaultHasher::new();
        (options.clients.mode as u8, options.clients.only_own_revocation).hash(&mut hasher);
        (&self.clients.ca, &self.clients.crls).hash(&mut hasher);
        hasher.finish()
    }
}

/// What new connections are encrypted with, and what there is to tell of it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificates: Vec<Certificate>,
    /// Sentences about what is not as it should be, and does not keep the server from serving.
    pub(super) warnings: Vec<String>,
    pub(super) fingerprint: u64,
}

impl Loaded {
    /// Makes it of what was read.
    pub(super) fn build(options: &TlsOptions, material: &Material, keyring: &Arc<Keyring>) -> Result<Self, String> {
        let mut warnings = Vec::new();
        let provider = Arc::new(ciphers::provider(&options.ciphers, &mut warnings)?);
        let mut password = Password::new(options.key_password_command.as_deref());
        let (mut certificates, mut by_name) = (Vec::new(), Vec::new());
        for (source, texts) in material.sources.iter().zip(&material.texts) {
            let (certificate, key) = certified_key(source, texts, &mut password, &provider, &mut warnings)?;
            by_name.push((certificate.names.clone(), key));
            certificates.push(certificate);
        }
        let versions: &[&SupportedProtocolVersion] = if options.only_tls13 { &[&TLS13] } else { &[&TLS13, &TLS12] };
        let verifier = clients::verifier(&options.clients, &material.clients, &provider)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| format!("the cipher suites do not fit the versions of TLS: {error}"))?
            .with_client_cert_verifier(verifier.unwrap_or_else(WebPkiClientVerifier::no_client_auth))
            .with_cert_resolver(Arc::new(Resolver::new(by_name)));
        let protocols: &[&[u8]] = if options.no_http2 { &[b"http/1.1"] } else { &[b"h2", b"http/1.1"] };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if options.no_resumption {
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = Arc::new(Ticketer::new(keyring.clone(), material.context(options)));
        }
        Ok(Self { config: Arc::new(config), certificates, warnings, fingerprint: material.fingerprint() })
    }
}

/// A certificate and its key, checked against each other.
fn certified_key(
    source: &CertificateSource,
    (cert, key): &(Vec<u8>, Vec<u8>),
    password: &mut Password<'_>,
    provider: &CryptoProvider,
    warnings: &mut Vec<String>,
) -> Result<(Certificate, Arc<CertifiedKey>), String> {
    let key_source = source.key.as_ref().unwrap_or(&source.cert);
    let chain = pem::certificates(cert, &source.cert)?;
    let private = pem::private_key(key, key_source, password)?;
    let certificate =
        Certificate::read(&chain[0]).map_err(|why| format!("the certificate {} cannot be used: {why}", source.cert))?;
    warnings.extend(disorder(&chain).map(|why| format!("the certificate {}: {why}", source.cert)));
    let key = CertifiedKey::from_der(chain.clone(), private.clone_key(), provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            mismatch(source, key_source, &chain, &private, provider)
        }
        error => format!("the key {key_source} cannot be used: {error}"),
    })?;
    Ok((certificate, Arc::new(key)))
}

/// A sentence about a key that is not the first certificate's.
fn mismatch(
    source: &CertificateSource,
    key: &PemSource,
    chain: &[CertificateDer<'static>],
    private: &PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> String {
    let is_of = |der: &CertificateDer<'static>| {
        CertifiedKey::from_der(vec![der.clone()], private.clone_key(), provider).is_ok()
    };
    match chain.iter().position(is_of) {
        Some(at) => format!(
            "the certificate of the key {key} is number {} in {}: write it first, then the one that signed it, and so on",
            at + 1,
            source.cert
        ),
        None => format!(
            "the key {key} does not belong to the certificate {}: give the key that the certificate was requested with",
            source.cert
        ),
    }
}
