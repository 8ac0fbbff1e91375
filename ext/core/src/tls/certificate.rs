//! A certificate as the server reads it: the names that it is for, and from when to when it is valid.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_cert::{Certificate as X509, der::Decode};

const DAY: i64 = 24 * 3600;

/// What there is to tell of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The names that it is for, in lower case, some with a `*` for their first part. Without any in it the common name of its subject.
    pub(crate) names: Vec<String>,
    /// Its first second, since 1970.
    pub(crate) not_before: i64,
    /// Its last second, since 1970.
    pub(crate) not_after: i64,
}

impl Certificate {
    /// Reads it. `Err` says what is wrong with it.
    pub(super) fn read(der: &CertificateDer<'_>) -> Result<Self, String> {
        let parsed =
            EndEntityCert::try_from(der).map_err(|error| format!("it is no certificate for a server: {error}"))?;
        let x509 = X509::from_der(der).map_err(|error| format!("it cannot be read: {error}"))?;
        let mut names: Vec<String> = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
        if names.is_empty() {
            names.extend(common_name(&x509));
        }
        let validity = x509.tbs_certificate().validity();
        let seconds =
            |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        Ok(Self { names, not_before: seconds(validity.not_before), not_after: seconds(validity.not_after) })
    }

    /// One name that stands for it.
    pub(crate) fn name(&self) -> &str {
        self.names.first().map_or("(no name)", String::as_str)
    }

    /// Whole days until it is not valid any more; negative when it is so already.
    pub(crate) fn days_left(&self, now: i64) -> i64 {
        (self.not_after - now).div_euclid(DAY)
    }

    pub(crate) fn has_expired(&self, now: i64) -> bool {
        now > self.not_after
    }

    /// A clause about a date that is wrong or close.
    pub(crate) fn concern(&self, now: i64, close: i64) -> Option<String> {
        if self.has_expired(now) {
            Some(format!("has expired on {}", date(self.not_after)))
        } else if now < self.not_before {
            Some(format!("is not valid before {}", date(self.not_before)))
        } else if self.days_left(now) < close {
            Some(format!("expires on {}, in {}", date(self.not_after), days(self.days_left(now))))
        } else {
            None
        }
    }

    /// Several for people: the names of each, and until when it is valid.
    pub(crate) fn list(certificates: &[Self]) -> String {
        let each = |it: &Self| format!("{} until {}", it.name(), date(it.not_after));
        certificates.iter().map(each).collect::<Vec<_>>().join(", ")
    }

    /// A clause for people: its names, and until when it is valid.
    pub(super) fn sentence(&self, now: i64) -> String {
        let names = if self.names.is_empty() { "no name".into() } else { self.names.join(", ") };
        let concern = self.concern(now, 0);
        format!(
            "a certificate for {names}, which {}",
            concern.unwrap_or_else(|| format!(
                "is valid until {}, for {}",
                date(self.not_after),
                days(self.days_left(now))
            ))
        )
    }
}

fn days(count: i64) -> String {
    match count {
        1 => "1 day".into(),
        count => format!("{count} days"),
    }
}

/// The day, in UTC.
fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "a day that has no date".into(), |time| time.strftime("%Y-%m-%d").to_string())
}

fn common_name(certificate: &X509) -> Option<String> {
    let subject = certificate.tbs_certificate().subject().to_string();
    let name = subject.split(',').find_map(|part| part.trim().strip_prefix("CN=").map(str::to_owned))?;
    Some(name.to_ascii_lowercase())
}

/// A sentence about certificates that are not in the order in which a client needs them: each signed by the next.
pub(super) fn disorder(chain: &[CertificateDer<'_>]) -> Option<String> {
    let parsed: Vec<EndEntityCert<'_>> = chain.iter().filter_map(|der| EndEntityCert::try_from(der).ok()).collect();
    let wrong = parsed.windows(2).position(|pair| pair[0].issuer() != pair[1].subject())?;
    Some(format!(
        "certificate {} in it is not signed by the one behind it, so that some clients will not trust it: write the server's own \
         first, then the one that signed it, and so on",
        wrong + 1
    ))
}
