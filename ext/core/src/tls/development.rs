//! A certificate for development: an authority that belongs to this user on this machine, and what it has signed for localhost. The
//! authority can sign for nothing else (RFC 5280 section 4.2.1.10), so that its key is of no use to a thief.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType, date_time_ymd,
};
use rustix::fs::{FlockOperation, flock};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::certificate::Certificate;

/// The authority's certificate, which is to be trusted, and its key.
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
/// The certificate for localhost, with its key behind it.
const LOCALHOST: &str = "localhost.pem";

const DAY: i64 = 24 * 3600;
const CA_DAYS: i64 = 3650;
/// Some clients trust no certificate that is valid for longer than 398 days.
const DAYS: i64 = 90;
/// It is made anew so long before its end.
const RENEW_BEFORE: i64 = 30;

/// The authority's certificate in its directory.
pub(super) fn authority(directory: &Path) -> PathBuf {
    directory.join(CA)
}

/// Sees to it that there is a certificate for localhost that is valid for a while, and returns its file.
pub(super) fn provide(directory: &Path, now: i64) -> Result<PathBuf, String> {
    make(directory, now).map_err(|error| {
        format!(
            "cannot make a certificate for development in {}: {error}; XDG_STATE_HOME names another place",
            directory.display()
        )
    })
}

fn make(directory: &Path, now: i64) -> io::Result<PathBuf> {
    let file = directory.join(LOCALHOST);
    if is_good(&file, now) && is_good(&directory.join(CA), now) {
        return Ok(file);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let lock = private(&directory.join("lock"), false)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    // Another process may have made it meanwhile.
    if is_good(&file, now) && is_good(&directory.join(CA), now) {
        return Ok(file);
    }
    let authority = issuer(directory, now)?;
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = localhost(now).signed_by(&key, &authority).map_err(io::Error::other)?;
    write(&file, &format!("{}{}", certificate.pem(), key.serialize_pem()))?;
    Ok(file)
}

/// Whether the first certificate in the file is valid, and not about to be renewed.
fn is_good(file: &Path, now: i64) -> bool {
    let read = fs::read(file).ok().and_then(|text| CertificateDer::from_pem_slice(&text).ok());
    let certificate = read.and_then(|der| Certificate::read(&der).ok());
    certificate.is_some_and(|it| it.not_before <= now && it.days_left(now) >= RENEW_BEFORE)
}

/// The authority that is there, or a new one.
fn issuer(directory: &Path, now: i64) -> io::Result<Issuer<'static, KeyPair>> {
    let (file, key_file) = (directory.join(CA), directory.join(CA_KEY));
    if is_good(&file, now)
        && let Some(key) = fs::read_to_string(&key_file).ok().and_then(|text| KeyPair::from_pem(&text).ok())
    {
        return Ok(Issuer::new(authority_params(now), key));
    }
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let params = authority_params(now);
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    write(&key_file, &key.serialize_pem())?;
    write(&file, &certificate.pem())?;
    Ok(Issuer::new(params, key))
}

fn authority_params(now: i64) -> CertificateParams {
    let mut params = validity(CertificateParams::default(), now, CA_DAYS);
    params.distinguished_name = name("Tidegate development authority of this machine");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let loopback = CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8);
    let loopback6 = CidrSubnet::from_v6_prefix(Ipv6Addr::LOCALHOST.octets(), 128);
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".into()),
            GeneralSubtree::IpAddress(loopback),
            GeneralSubtree::IpAddress(loopback6),
        ],
        excluded_subtrees: Vec::new(),
    });
    params
}

fn localhost(now: i64) -> CertificateParams {
    let mut params = validity(CertificateParams::default(), now, DAYS);
    params.distinguished_name = name("localhost");
    // Clients take no wildcard right below a top-level name, and some would refuse a certificate with `*.localhost` whole.
    let names = ["localhost"].into_iter().filter_map(|name| name.try_into().ok()).map(SanType::DnsName);
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(SanType::IpAddress);
    params.subject_alt_names = names.chain(addresses).collect();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// From yesterday on, because clocks differ.
fn validity(mut params: CertificateParams, now: i64, days: i64) -> CertificateParams {
    let day = |seconds: i64| {
        let date = jiff::Timestamp::from_second(seconds).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
        date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    (params.not_before, params.not_after) = (day(now - DAY), day(now + days * DAY));
    params
}

fn private(path: &Path, truncate: bool) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(truncate).mode(0o600).open(path)
}

/// Writes a file that only this user can read, whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    private(&new, true)?.write_all(text.as_bytes())?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::PermissionsExt;

    const NOW: i64 = 1_800_000_000;

    fn read(path: &Path) -> Certificate {
        Certificate::read(&CertificateDer::from_pem_file(path).unwrap()).unwrap()
    }

    #[test]
    fn it_is_kept_and_made_anew_before_its_end_by_the_same_authority() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("state/tls");
        let file = provide(&directory, NOW).unwrap();
        let (certificate, ca) = (fs::read(&file).unwrap(), fs::read(authority(&directory)).unwrap());
        assert_eq!(read(&file).names, ["localhost"]);
        assert_eq!(provide(&directory, NOW + 59 * DAY).unwrap(), file);
        assert_eq!(fs::read(&file).unwrap(), certificate);
        provide(&directory, NOW + 61 * DAY).unwrap();
        assert_ne!(fs::read(&file).unwrap(), certificate);
        assert_eq!(fs::read(authority(&directory)).unwrap(), ca);
        for file in [CA_KEY, LOCALHOST] {
            assert_eq!(fs::metadata(directory.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn a_client_that_trusts_the_authority_trusts_it_for_localhost_alone() {
        use rustls::pki_types::{ServerName, UnixTime};
        use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

        let directory = tempfile::tempdir().unwrap();
        let file = provide(directory.path(), NOW).unwrap();
        let (leaf, ca) = (
            CertificateDer::from_pem_file(&file).unwrap(),
            CertificateDer::from_pem_file(authority(directory.path())).unwrap(),
        );
        let anchor = [anchor_from_trusted_cert(&ca).unwrap()];
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW as u64));
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
        let verified = |leaf: &CertificateDer<'_>, name: &str| {
            let leaf = EndEntityCert::try_from(leaf).unwrap();
            leaf.verify_for_usage(algorithms, &anchor, &[], time, KeyUsage::server_auth(), None, None).is_ok()
                && leaf.verify_is_valid_for_subject_name(&ServerName::try_from(name).unwrap()).is_ok()
        };
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert!(verified(&leaf, name), "{name}");
        }
        assert!(!verified(&leaf, "example.com"));
        let mut other = localhost(NOW);
        other.subject_alt_names = vec![SanType::DnsName("example.com".try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let forged = other.signed_by(&key, &issuer(directory.path(), NOW).unwrap()).unwrap();
        assert!(!verified(forged.der(), "example.com"));
    }

    #[test]
    fn says_where_it_cannot_be_kept() {
        let error = provide(Path::new("/proc/none"), NOW).unwrap_err();
        assert!(error.contains("in /proc/none") && error.contains("XDG_STATE_HOME"), "{error}");
    }
}
