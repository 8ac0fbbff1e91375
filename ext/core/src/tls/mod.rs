//! Certificates and keys of an address, and what a handshake has agreed on. Knows files and rustls; knows no socket.

mod info;

use std::{path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

pub use self::info::TlsInfo;
use crate::{config::TlsOptions, error::Error};

/// What the connections of an address are encrypted with.
#[derive(Debug)]
pub(crate) struct Tls {
    server_config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the certificate and its key.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`] with the name of the file and what is wrong with it.
    pub(crate) fn load(options: &TlsOptions) -> Result<Arc<Self>, Error> {
        let missing = |what: &str| Error::configuration(format!("an encrypted address needs {what}=FILE"));
        let cert = options.cert.as_deref().ok_or_else(|| missing("cert"))?;
        let key = options.key.as_deref().ok_or_else(|| missing("key"))?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect)
            .map_err(|error| unreadable("certificate", cert, &error))?;
        if chain.is_empty() {
            return Err(unreadable("certificate", cert, &pem::Error::NoItemsFound));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("private key", key, &error))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|error| {
                let (cert, key) = (cert.display(), key.display());
                Error::configuration(format!("the certificate in {cert} and the key in {key}: {error}"))
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(Self { server_config: Arc::new(config) }))
    }

    /// What a new connection is encrypted with.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        self.server_config.clone()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn unreadable(what: &str, file: &Path, error: &pem::Error) -> Error {
    let why = match error {
        pem::Error::NoItemsFound => "there is none in it".to_owned(),
        pem::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    Error::configuration(format!("cannot read the {what} in {}: {why}", file.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    use std::{fs, path::PathBuf};

    use rcgen::{CertifiedKey, generate_simple_self_signed};

    /// The files of a certificate for `localhost`, with which nothing was signed but itself.
    pub(crate) struct Files {
        _directory: tempfile::TempDir,
        pub(crate) options: TlsOptions,
    }

    impl Files {
        pub(crate) fn write() -> Self {
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".into()]).unwrap();
            let directory = tempfile::tempdir().unwrap();
            let write = |name: &str, text: String| -> Option<PathBuf> {
                let path = directory.path().join(name);
                fs::write(&path, text).unwrap();
                Some(path)
            };
            let options =
                TlsOptions { cert: write("cert.pem", cert.pem()), key: write("key.pem", signing_key.serialize_pem()) };
            Self { options, _directory: directory }
        }
    }

    #[test]
    fn loads_a_certificate_with_its_key() {
        let tls = Tls::load(&Files::write().options).unwrap();
        assert_eq!(tls.server_config().alpn_protocols, [b"http/1.1"]);
    }

    #[test]
    fn says_which_file_is_wrong_and_why() {
        let (files, others) = (Files::write(), Files::write());
        let refused = |options: &TlsOptions| {
            let error = Tls::load(options).unwrap_err();
            assert!(error.is_configuration());
            error.to_string()
        };
        let swapped = TlsOptions { cert: files.options.key.clone(), key: files.options.key.clone() };
        assert!(refused(&swapped).contains("there is none in it"), "{}", refused(&swapped));
        let mixed = TlsOptions { cert: files.options.cert.clone(), key: others.options.key.clone() };
        assert!(refused(&mixed).contains("and the key in"), "{}", refused(&mixed));
        let absent = TlsOptions { cert: Some("/none.pem".into()), key: files.options.key.clone() };
        assert!(refused(&absent).starts_with("cannot read the certificate in /none.pem: No such file"));
        assert!(refused(&TlsOptions::default()).contains("needs cert=FILE"));
    }
}
