//! Which certificate a client is shown: the one for the name that it asks for (SNI, RFC 6066 section 3), else the first.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// Certificates by the names that they are for.
#[derive(Debug)]
pub(super) struct Resolver {
    /// In lower case; those with a `*` for the first part have nothing before the first dot: `.example.com`.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For clients that ask for no name, or for another. Never empty.
    default: Vec<Arc<CertifiedKey>>,
}

impl Resolver {
    /// Of certificates with their names; the first one is the default.
    pub(super) fn new(certificates: Vec<(Vec<String>, Arc<CertifiedKey>)>) -> Self {
        let mut by_name: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        let mut default = Vec::new();
        let default_names = certificates.first().map(|(names, _)| names.clone()).unwrap_or_default();
        for (names, key) in certificates {
            // One for the same names with another kind of key stands beside the default.
            if default.is_empty() || names == default_names {
                default.push(key.clone());
            }
            for name in names {
                let name = name.strip_prefix('*').map_or(name.clone(), str::to_owned);
                by_name.entry(name).or_default().push(key.clone());
            }
        }
        Self { by_name, default }
    }

    fn find(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let Some(name) = name.map(str::to_ascii_lowercase) else { return &self.default };
        let parent = || name.find('.').and_then(|dot| self.by_name.get(&name[dot..]));
        self.by_name.get(&name).or_else(parent).unwrap_or(&self.default)
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let found = self.find(name);
        // One for which the client knows a signature, where there are several with different kinds of keys.
        found.iter().find(|key| key.key.choose_scheme(schemes).is_some()).or(found.first()).cloned()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use rustls::crypto::aws_lc_rs::sign::any_supported_type;

    fn key(algorithm: &'static rcgen::SignatureAlgorithm) -> Arc<CertifiedKey> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let key = any_supported_type(&key.serialize_der().try_into().unwrap()).unwrap();
        Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_name_decides_and_an_unknown_one_gets_the_first() {
        let keys = [(); 3].map(|()| key(&rcgen::PKCS_ECDSA_P256_SHA256));
        let resolver = Resolver::new(vec![
            (names(&["one.test"]), keys[0].clone()),
            (names(&["*.two.test", "two.test"]), keys[1].clone()),
            (names(&["special.two.test"]), keys[2].clone()),
        ]);
        for (name, expected) in [
            (Some("one.test"), 0),
            (Some("ONE.test"), 0),
            (Some("two.test"), 1),
            (Some("a.two.test"), 1),
            (Some("special.two.test"), 2),
            (Some("a.b.two.test"), 0),
            (Some("sub.one.test"), 0),
            (Some("test"), 0),
            (None, 0),
        ] {
            let chosen = resolver.choose(name, &[SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
            assert!(Arc::ptr_eq(&chosen, &keys[expected]), "{name:?}");
        }
    }

    #[test]
    fn of_two_for_one_name_a_client_gets_the_one_that_it_can_check() {
        let (p256, ed25519) = (key(&rcgen::PKCS_ECDSA_P256_SHA256), key(&rcgen::PKCS_ED25519));
        let resolver = Resolver::new(vec![(names(&["a.test"]), p256.clone()), (names(&["a.test"]), ed25519.clone())]);
        for name in [Some("a.test"), Some("other.test"), None] {
            let old = resolver.choose(name, &[SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
            let new = resolver.choose(name, &[SignatureScheme::ED25519]).unwrap();
            assert!(Arc::ptr_eq(&old, &p256) && Arc::ptr_eq(&new, &ed25519));
        }
    }
}
