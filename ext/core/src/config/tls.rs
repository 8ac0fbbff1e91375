//! How the connections of an address are encrypted, as the address says it: `ssl://HOST:PORT?cert=FILE&key=FILE&...`. The names are
//! Puma's where Puma has the option. What the values lead to is read from files later, by `tls`.

use std::{fmt, path::PathBuf};

use super::address::Query;

/// How the connections of an address are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The certificates, each with its key. The first one is shown to clients that ask for a name which is in none of them.
    pub certificates: Vec<CertificateSource>,
    /// A command for the shell that prints the password of keys that have one. It is run at boot and at each reload.
    pub key_password_command: Option<String>,
    /// What is asked of clients.
    pub clients: ClientVerification,
    /// Neither TLS 1.2 nor anything before is spoken.
    pub only_tls13: bool,
    /// The cipher suites that may be used, by the names of OpenSSL (TLS 1.2) and IANA (TLS 1.3); of a version that none is named for all
    /// may be used.
    pub ciphers: Vec<String>,
    /// Whether a client may resume a session, with a ticket; on unless it is switched off.
    pub no_resumption: bool,
    /// HTTP/2 is not offered on this address, whatever is set for all.
    pub no_http2: bool,
    /// The directory with the machine's own authority for development, whose certificate for localhost is shown.
    pub development: Option<PathBuf>,
}

/// A certificate, with those that it is signed by behind it, and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSource {
    /// The certificates in PEM.
    pub cert: PemSource,
    /// The key in PEM; `None` where it is beside the certificates.
    pub key: Option<PemSource>,
}

/// Where text in PEM comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum PemSource {
    /// A file, which is read again when it has changed.
    File(PathBuf),
    /// The text itself. It never changes, and is not printed.
    Text(String),
}

/// What is asked of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientVerification {
    /// Whether they are to show a certificate.
    pub mode: VerifyMode,
    /// The file of the authorities that have to have signed it.
    pub ca: Option<PathBuf>,
    /// Files of revocation lists, in PEM.
    pub crls: Vec<PathBuf>,
    /// Only the client's own certificate is looked for in the lists, and not those that it is signed by.
    pub only_own_revocation: bool,
}

/// Whether clients are to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyMode {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked; one that is shown has to be good.
    Peer,
    /// They have to show one.
    ForcePeer,
}

impl fmt::Debug for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text(..)"),
        }
    }
}

impl fmt::Display for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Text(_) => f.write_str("the text that was given"),
        }
    }
}

impl TlsOptions {
    /// Takes its own options out of those of an address. `Err` is a sentence about what is wrong with one of them.
    pub(super) fn take(query: &mut Query<'_>) -> Result<Self, String> {
        let options = Self {
            certificates: certificates(query)?,
            key_password_command: query.take_decoded("key_password_command"),
            clients: ClientVerification::take(query)?,
            only_tls13: match query.take("min_version") {
                None | Some("1.2") => false,
                Some("1.3") => true,
                Some(other) => return Err(format!("min_version={other} is neither 1.2 nor 1.3")),
            },
            ciphers: ["ssl_cipher_filter", "ssl_ciphersuites"]
                .into_iter()
                .filter_map(|name| query.take_decoded(name))
                .flat_map(|names| names.split([':', ',', ' ']).map(str::to_owned).collect::<Vec<_>>())
                .filter(|name| !name.is_empty())
                .collect(),
            no_resumption: query.take("reuse") == Some("false"),
            no_http2: query.take("http2") == Some("false"),
            development: query.take_decoded("development").map(PathBuf::from),
        };
        // They say what is so anyway, or how a listener behaves that Puma has and this server has not.
        for accepted in ["no_tlsv1", "no_tlsv1_1", "low_latency"] {
            query.take(accepted);
        }
        if options.certificates.is_empty() && options.development.is_none() {
            return Err("it needs cert=FILE and key=FILE".into());
        }
        Ok(options)
    }
}

/// The certificates and the keys, which belong together in the order in which they are written: `cert=a&key=b&cert=c&key=d`.
fn certificates(query: &mut Query<'_>) -> Result<Vec<CertificateSource>, String> {
    let both = |file: &str, text: &str, query: &mut Query<'_>| {
        query
            .take_any(&[file, text])
            .into_iter()
            .map(move |(name, value)| if name == text { PemSource::Text(value) } else { PemSource::File(value.into()) })
            .collect::<Vec<_>>()
    };
    let (certs, mut keys) = (both("cert", "cert_pem", query), both("key", "key_pem", query).into_iter());
    if keys.len() > 0 && keys.len() != certs.len() {
        return Err(format!(
            "there are {} certificates (cert) and {} keys (key): each needs its own",
            certs.len(),
            keys.len()
        ));
    }
    Ok(certs.into_iter().map(|cert| CertificateSource { cert, key: keys.next() }).collect())
}

impl ClientVerification {
    fn take(query: &mut Query<'_>) -> Result<Self, String> {
        let mode = match query.take("verify_mode") {
            None | Some("none") => VerifyMode::None,
            Some("peer") => VerifyMode::Peer,
            Some("force_peer") => VerifyMode::ForcePeer,
            Some(other) => return Err(format!("verify_mode={other} is not none, peer or force_peer")),
        };
        let ca = query.take_decoded("ca").map(PathBuf::from);
        if mode != VerifyMode::None && ca.is_none() {
            return Err("verify_mode needs ca=FILE, the authorities that sign the certificates of clients".into());
        }
        let flags = query.take_decoded("verification_flags").unwrap_or_default();
        let has = |flag: &str| flags.split(',').any(|each| each == flag);
        let crls: Vec<PathBuf> = query.take_any(&["crl"]).into_iter().map(|(_, path)| path.into()).collect();
        if crls.is_empty() && (has("CRL_CHECK") || has("CRL_CHECK_ALL")) {
            return Err("verification_flags asks for a check of revocation, which needs crl=FILE".into());
        }
        Ok(Self { mode, ca, crls, only_own_revocation: has("CRL_CHECK") && !has("CRL_CHECK_ALL") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    fn options(query: &str) -> Result<TlsOptions, String> {
        let address = Address::parse(&format!("ssl://0.0.0.0:443?{query}")).map_err(|error| error.to_string())?;
        Ok(*address.wire().tls.clone().unwrap())
    }

    fn file(path: &str) -> PemSource {
        PemSource::File(path.into())
    }

    #[test]
    fn certificates_and_keys_belong_together_in_their_order() {
        let given = options("cert=a.pem&key=a.key&cert_pem=B%0A%26&key=b.key").unwrap().certificates;
        let second = CertificateSource { cert: PemSource::Text("B\n&".into()), key: Some(file("b.key")) };
        assert_eq!(given, [CertificateSource { cert: file("a.pem"), key: Some(file("a.key")) }, second]);
        assert_eq!(options("cert=%2Ftls%2Fboth.pem").unwrap().certificates[0].cert, file("/tls/both.pem"));
        assert!(options("cert=a&cert=b&key=c").unwrap_err().contains("2 certificates (cert) and 1 keys (key)"));
    }

    #[test]
    fn the_names_are_pumas() {
        let given = options(
            "cert=a&key=b&verify_mode=force_peer&ca=c&crl=d&crl=e&verification_flags=CRL_CHECK,TRUSTED_FIRST&no_tlsv1=true\
             &no_tlsv1_1=true&low_latency=true&reuse=1000,60&key_password_command=cat%20x&min_version=1.3&backlog=5\
             &ssl_cipher_filter=A:B&ssl_ciphersuites=C",
        )
        .unwrap();
        assert_eq!(given.clients.mode, VerifyMode::ForcePeer);
        assert_eq!(given.clients.crls, [PathBuf::from("d"), "e".into()]);
        assert!(given.clients.only_own_revocation && given.only_tls13 && !given.no_resumption && !given.no_http2);
        assert_eq!(given.key_password_command.as_deref(), Some("cat x"));
        assert_eq!(given.ciphers, ["A", "B", "C"]);
        assert!(options("cert=a&key=b&reuse=false").unwrap().no_resumption);
        assert!(options("cert=a&key=b&http2=false").unwrap().no_http2);
    }

    #[test]
    fn says_what_is_missing() {
        for (query, why) in [
            ("", "needs cert=FILE and key=FILE"),
            ("cert=a&verify_mode=peer", "needs ca=FILE"),
            ("cert=a&verify_mode=all", "not none, peer or force_peer"),
            ("cert=a&min_version=1.1", "neither 1.2 nor 1.3"),
            ("cert=a&verification_flags=CRL_CHECK", "needs crl=FILE"),
            ("cert=a%", "not written as it has to be"),
            ("cert=a&crt=b", "no option \"crt\""),
        ] {
            let error = options(query).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let text = "ssl://h:1?cert_pem=CERTIFICATE&key_pem=SECRET";
        assert!(!format!("{:?}", options("cert_pem=x&key_pem=SECRET").unwrap()).contains("SECRET"));
        assert!(!Address::parse(text).unwrap().to_string().contains("SECRET"));
        let error = Address::parse(&format!("{text}&oops=1")).unwrap_err().to_string();
        assert!(error.contains("oops") && !error.contains("SECRET"), "{error}");
    }
}
