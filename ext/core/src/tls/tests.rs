//! What is loaded and what is refused, with handshakes in memory.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore, ServerConnection,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use super::*;
use crate::config::{CertificateSource, ClientVerification, PemSource, VerifyMode};

/// The files of a certificate for `localhost`, with which nothing was signed but itself.
pub(crate) struct Files {
    directory: tempfile::TempDir,
    pub(crate) options: TlsOptions,
    certificate: CertificateDer<'static>,
}

impl Files {
    pub(crate) fn write() -> Self {
        Self::of(&CertificateParams::new(["localhost".into()]).unwrap())
    }

    fn of(params: &CertificateParams) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let source = CertificateSource {
            cert: file(directory.path(), "cert.pem", &certificate.pem()),
            key: Some(file(directory.path(), "key.pem", &key.serialize_pem())),
        };
        let options = TlsOptions { certificates: vec![source], ..TlsOptions::default() };
        Self { directory, options, certificate: certificate.der().clone() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Puts another certificate and another key into the files, or only one of them.
    fn replace(&self, by: &Self, names: &[&str]) {
        for name in names {
            fs::copy(by.path().join(name), self.path().join(name)).unwrap();
        }
    }
}

fn file(directory: &Path, name: &str, text: &str) -> PemSource {
    fs::write(directory.join(name), text).unwrap();
    PemSource::File(directory.join(name))
}

fn refused(options: &TlsOptions) -> String {
    let error = Tls::load(options).unwrap_err();
    assert!(error.is_configuration());
    error.to_string()
}

// ===== handshakes =====

fn client(trusted: &CertificateDer<'static>) -> ClientConfig {
    client_with(trusted, None)
}

fn client_with(
    trusted: &CertificateDer<'static>,
    own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match own {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    }
}

/// Both sides after their handshake, or why there was none.
fn handshake(tls: &Tls, client: &Arc<ClientConfig>) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut client = ClientConnection::new(client.clone(), "localhost".try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(tls.server_config()).unwrap();
    loop {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut answer = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut answer).unwrap();
        }
        if bytes.is_empty() && answer.is_empty() {
            return Ok((client, server));
        }
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
}

#[test]
fn a_client_gets_a_post_quantum_key_exchange() {
    let files = Files::write();
    let tls = Tls::load(&files.options).unwrap();
    assert_eq!(tls.server_config().alpn_protocols, [b"h2".as_slice(), b"http/1.1"]);
    let (_, server) = handshake(&tls, &Arc::new(client(&files.certificate))).unwrap();
    let group = server.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
}

#[test]
fn a_session_is_resumed_by_any_process_that_has_the_keys() {
    let files = Files::write();
    let (one, other) = (Tls::load(&files.options).unwrap(), Tls::load(&files.options).unwrap());
    let trusting = Arc::new(client(&files.certificate));
    let kind = |tls: &Tls| handshake(tls, &trusting).unwrap().1.handshake_kind();
    assert_eq!(kind(&one), Some(HandshakeKind::Full));
    assert_eq!(kind(&one), Some(HandshakeKind::Resumed));
    assert_eq!(kind(&other), Some(HandshakeKind::Full), "a server of its own has keys of its own");
    other.share_tickets(one.keyring.store());
    assert_eq!(kind(&one), Some(HandshakeKind::Full), "the last ticket was the other's");
    assert_eq!(kind(&other), Some(HandshakeKind::Resumed));
    let off = Tls::load(&TlsOptions { no_resumption: true, ..files.options.clone() }).unwrap();
    off.share_tickets(one.keyring.store());
    assert_eq!(kind(&off), Some(HandshakeKind::Full));
}

// ===== files =====

#[test]
fn a_key_may_be_in_the_file_of_its_certificate_or_be_given_as_text() {
    let files = Files::write();
    let read = |name: &str| fs::read_to_string(files.path().join(name)).unwrap();
    let both = file(files.path(), "both.pem", &format!("{}{}", read("cert.pem"), read("key.pem")));
    for source in [
        CertificateSource { cert: both, key: None },
        CertificateSource { cert: PemSource::Text(read("cert.pem")), key: Some(PemSource::Text(read("key.pem"))) },
    ] {
        let options = TlsOptions { certificates: vec![source], ..TlsOptions::default() };
        assert_eq!(Tls::load(&options).unwrap().certificates()[0].name(), "localhost");
    }
}

#[test]
fn says_which_file_is_wrong_and_what_to_do() {
    let (files, others) = (Files::write(), Files::write());
    let with = |cert: &str, key: &str| {
        let path = |name: &str| PemSource::File(files.path().join(name));
        let source = CertificateSource { cert: path(cert), key: Some(path(key)) };
        TlsOptions { certificates: vec![source], ..TlsOptions::default() }
    };
    let read = |name: &str| fs::read_to_string(files.path().join(name)).unwrap();
    fs::copy(others.path().join("key.pem"), files.path().join("other.pem")).unwrap();
    fs::copy(others.path().join("cert.pem"), files.path().join("first.pem")).unwrap();
    file(files.path(), "chain.pem", &format!("{}{}", read("first.pem"), read("cert.pem")));
    file(files.path(), "damaged.pem", "-----BEGIN CERTIFICATE-----\n@@@\n-----END CERTIFICATE-----\n");
    file(files.path(), "nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    file(files.path(), "old.pem", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n");
    for (cert, key, why) in [
        ("none.pem", "key.pem", "none.pem: there is no such file"),
        ("", "key.pem", "it is no file"),
        ("key.pem", "key.pem", "there is no CERTIFICATE in PEM in it"),
        ("damaged.pem", "key.pem", "damaged.pem cannot be used: it is damaged"),
        ("nonsense.pem", "key.pem", "nonsense.pem cannot be used: it is no certificate for a server"),
        ("cert.pem", "cert.pem", "there is no PRIVATE KEY in PEM in it"),
        ("cert.pem", "other.pem", "other.pem does not belong to the certificate"),
        ("chain.pem", "key.pem", "key.pem is number 2 in"),
        ("cert.pem", "old.pem", "openssl pkcs8 -topk8"),
    ] {
        let error = refused(&with(cert, key));
        assert!(error.contains(why), "{error}");
        assert!(error.contains(&files.path().display().to_string()), "{error}");
    }
}

#[test]
fn a_chain_in_the_wrong_order_is_served_and_said() {
    let (files, other) = (Files::write(), Files::of(&authority("Other")));
    let text = fs::read_to_string(files.path().join("cert.pem")).unwrap();
    let other = fs::read_to_string(other.path().join("cert.pem")).unwrap();
    fs::write(files.path().join("cert.pem"), format!("{text}{other}")).unwrap();
    let warnings = Tls::load(&files.options).unwrap().warnings();
    assert!(warnings[0].contains("certificate 1 in it is not signed by the one behind it"), "{warnings:?}");
}

#[test]
fn keys_are_read_in_every_form() {
    let files = Files::write();
    // Made by openssl for one certificate: see the directory's README.
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tls");
    let path = |name: &str| PemSource::File(directory.join(name));
    let of = |cert: &str, key: &str, command: Option<&str>| TlsOptions {
        certificates: vec![CertificateSource { cert: path(cert), key: Some(path(key)) }],
        key_password_command: command.map(str::to_owned),
        ..files.options.clone()
    };
    for (cert, key) in [("rsa.pem", "rsa.pkcs1.key"), ("rsa.pem", "rsa.pkcs8.key"), ("ec.pem", "ec.sec1.key")] {
        Tls::load(&of(cert, key, None)).unwrap();
    }
    Tls::load(&of("rsa.pem", "rsa.encrypted.key", Some("echo sesame"))).unwrap();
    let refused = |command: Option<&str>| refused(&of("rsa.pem", "rsa.encrypted.key", command));
    assert!(refused(None).contains("no key_password_command says how to get it"));
    assert!(refused(Some("echo wrong")).contains("does not open it"));
    assert!(refused(Some("false")).contains("its key_password_command has failed"));
}

// ===== clients =====

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let pem = authority(name).self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(authority(name), key), pem }
    }

    fn sign(&self, serial: u64) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["client.test".into()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), key.serialize_der().try_into().unwrap())
    }

    fn revoke(&self, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

#[test]
fn clients_are_asked_or_have_to_show_a_certificate() {
    let (files, ours, foreign) = (Files::write(), Authority::new("Ours"), Authority::new("Foreign"));
    let PemSource::File(ca) = file(files.path(), "ca.pem", &ours.pem) else { unreachable!() };
    let PemSource::File(crl) = file(files.path(), "crl.pem", &ours.revoke(66)) else { unreachable!() };
    let asking = |mode: VerifyMode| {
        let clients =
            ClientVerification { mode, ca: Some(ca.clone()), crls: vec![crl.clone()], only_own_revocation: false };
        Tls::load(&TlsOptions { clients, ..files.options.clone() }).unwrap()
    };
    let shown = |tls: &Tls, own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>| {
        let client = Arc::new(client_with(&files.certificate, own));
        handshake(tls, &client).map(|(_, server)| server.peer_certificates().map_or(0, <[_]>::len)).ok()
    };
    let (peer, forced) = (asking(VerifyMode::Peer), asking(VerifyMode::ForcePeer));
    assert_eq!((shown(&peer, None), shown(&forced, None)), (Some(0), None));
    assert_eq!((shown(&peer, Some(ours.sign(1))), shown(&forced, Some(ours.sign(1)))), (Some(1), Some(1)));
    for (authority, serial) in [(&foreign, 1), (&ours, 66)] {
        let wrong = || Some(authority.sign(serial));
        assert_eq!((shown(&peer, wrong()), shown(&forced, wrong())), (None, None));
    }
}

#[test]
fn a_ticket_does_not_stand_for_a_certificate_that_another_address_asks_for() {
    let (files, ours) = (Files::write(), Authority::new("Ours"));
    let PemSource::File(ca) = file(files.path(), "ca.pem", &ours.pem) else { unreachable!() };
    let clients = ClientVerification { mode: VerifyMode::ForcePeer, ca: Some(ca), ..ClientVerification::default() };
    let (open, closed) =
        (Tls::load(&files.options).unwrap(), Tls::load(&TlsOptions { clients, ..files.options.clone() }).unwrap());
    closed.share_tickets(open.keyring.store());
    let client = Arc::new(client(&files.certificate));
    handshake(&open, &client).unwrap();
    assert!(handshake(&closed, &client).is_err());
}

// ===== reload =====

#[test]
fn new_files_are_taken_for_new_connections() {
    let (files, new) = (Files::write(), Files::write());
    let tls = Tls::load(&files.options).unwrap();
    assert_eq!(tls.reload(false, unix_now()), Reload::Unchanged);
    files.replace(&new, &["cert.pem", "key.pem"]);
    assert!(matches!(tls.reload(false, unix_now()), Reload::Changed(_)));
    assert_eq!(tls.reload(true, unix_now()), Reload::Unchanged);
    handshake(&tls, &Arc::new(client(&new.certificate))).unwrap();
}

#[test]
fn a_pair_that_is_half_written_is_looked_at_again() {
    let (files, new) = (Files::write(), Files::write());
    let tls = Tls::load(&files.options).unwrap();
    files.replace(&new, &["cert.pem"]);
    assert_eq!(tls.reload(false, unix_now()), Reload::Unsettled);
    handshake(&tls, &Arc::new(client(&files.certificate))).unwrap();
    files.replace(&new, &["key.pem"]);
    assert!(matches!(tls.reload(false, unix_now()), Reload::Changed(_)));
}

#[test]
fn a_fault_that_stays_is_told_once_and_the_old_certificate_goes_on() {
    let (files, new) = (Files::write(), Files::write());
    let tls = Tls::load(&files.options).unwrap();
    files.replace(&new, &["cert.pem"]);
    assert_eq!(tls.reload(false, unix_now()), Reload::Unsettled);
    let Reload::Refused(why) = tls.reload(false, unix_now()) else { panic!("it is the second time") };
    assert!(why.contains("does not belong to the certificate"), "{why}");
    assert_eq!(tls.reload(false, unix_now()), Reload::Unchanged);
    assert_eq!(tls.reload(true, unix_now()), Reload::Refused(why), "an operator who asks is answered");
    fs::remove_file(files.path().join("key.pem")).unwrap();
    assert_eq!(tls.reload(false, unix_now()), Reload::Unsettled, "another fault");
    handshake(&tls, &Arc::new(client(&files.certificate))).unwrap();
}

#[test]
fn a_certificate_that_has_expired_does_not_replace_one_that_has_not() {
    let mut params = CertificateParams::new(["localhost".into()]).unwrap();
    params.not_after = date_time_ymd(2020, 1, 1);
    let (files, expired) = (Files::write(), Files::of(&params));
    let tls = Tls::load(&files.options).unwrap();
    files.replace(&expired, &["cert.pem", "key.pem"]);
    let Reload::Refused(why) = tls.reload(true, unix_now()) else { panic!("it has expired") };
    assert_eq!(why, "the new certificate for localhost has expired on 2020-01-01");
    let report = Tls::load(&expired.options).unwrap().report(unix_now());
    assert_eq!(report, ["a certificate for localhost, which has expired on 2020-01-01"]);
}

#[test]
fn the_days_that_are_left_are_counted() {
    let certificate = Certificate { names: vec!["a.test".into()], not_before: 0, not_after: 20 * 86_400 };
    assert_eq!(certificate.concern(0, 14), None);
    assert_eq!(certificate.concern(7 * 86_400, 14).unwrap(), "expires on 1970-01-21, in 13 days");
    assert_eq!(certificate.concern(20 * 86_400 + 1, 14).unwrap(), "has expired on 1970-01-21");
    assert_eq!(certificate.concern(-1, 14).unwrap(), "is not valid before 1970-01-01");
}
