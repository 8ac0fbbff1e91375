//! The certificates of a server while it runs: a thread of their own looks at their files, and tells of what has changed and of what ends
//! soon. In a cluster each worker has such a thread, and the first that finds something tells of it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};

use super::Observer;
use crate::{
    cluster::Member,
    error::Error,
    log::event::LogEvent,
    stats::{SharedStats, certificates::CertificateReload},
    tls::{Certificate, Reload, Tls, unix_now},
};

/// A certificate that ends within so many days is told of once a day.
const CLOSE: i64 = 14;
const DAY: i64 = 24 * 3600;
/// When to look again at files that seem to be half written.
const SOON: Duration = Duration::from_secs(1);
/// The longest pause: dates and the keys of tickets are looked at once in it.
const LONGEST: Duration = Duration::from_secs(3600);

/// An address with what it is encrypted with.
pub(super) type Encrypted = (String, Arc<Tls>);

/// Looks at the certificates.
pub(super) struct CertificateWatch {
    pub(super) addresses: Vec<Encrypted>,
    /// Between two looks at the files; `None`: when asked alone.
    pub(super) interval: Option<Duration>,
    pub(super) observer: Observer,
    pub(super) stats: SharedStats,
    pub(super) member: Option<Member>,
}

/// Asks the thread to look at the files at once.
#[derive(Clone, Debug)]
pub(super) struct Asking(Sender<()>);

impl Asking {
    pub(super) fn ask(&self) {
        // Full means that a look is to come already; closed, that the server is over.
        let _ = self.0.try_send(());
    }
}

/// The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watching {
    _end: Sender<()>,
}

impl CertificateWatch {
    /// Starts the thread, where there is anything to look at.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(super) fn start(self) -> Result<Option<(Asking, Watching)>, Error> {
        if self.addresses.is_empty() {
            return Ok(None);
        }
        let (ask, asked) = bounded(1);
        let (end, ended) = bounded(0);
        let run = move || self.run(&asked, &ended);
        thread::Builder::new().name("tidegate-tls".into()).spawn(run).map_err(Error::runtime)?;
        Ok(Some((Asking(ask), Watching { _end: end })))
    }

    fn run(self, asked: &Receiver<()>, ended: &Receiver<()>) {
        self.greet();
        let mut told = None;
        let mut settled = true;
        loop {
            let now = unix_now();
            self.rotate(now);
            self.tell_of_dates(now, &mut told);
            let pause = if settled { self.interval.unwrap_or(LONGEST).min(LONGEST) } else { SOON };
            let timer = if pause.is_zero() { never() } else { after(pause) };
            let by_operator = select! {
                recv(ended) -> _ => return,
                recv(asked) -> _ => true,
                recv(timer) -> _ => false,
            };
            if by_operator || self.interval.is_some() {
                settled = self.look(by_operator, unix_now());
            }
        }
    }

    /// What there is to tell at the start.
    fn greet(&self) {
        for (address, tls) in &self.addresses {
            for warning in tls.warnings() {
                self.tell(&LogEvent::CertificateWarning { address, warning: &warning });
            }
            if let Some(file) = tls.development_authority() {
                self.tell(&LogEvent::DevelopmentCertificate { address, authority: &file });
            }
        }
    }

    /// New keys for tickets, when it is time.
    fn rotate(&self, now: i64) {
        self.addresses.iter().for_each(|(_, tls)| tls.rotate_tickets(now));
    }

    /// Looks at the files. Returns whether all is settled, so that there is time until the next look.
    fn look(&self, asked: bool, now: i64) -> bool {
        let mut settled = true;
        for (place, (address, tls)) in self.addresses.iter().enumerate() {
            match tls.reload(asked, now) {
                Reload::Unchanged => {}
                Reload::Unsettled => settled = false,
                Reload::Changed(certificates) => {
                    self.stats.certificate_reloads.inc(CertificateReload::Ok);
                    let certificates = &Certificate::list(&certificates);
                    self.tell_next(place, &LogEvent::CertificatesReloaded { address, certificates });
                    let warnings = tls.warnings();
                    warnings.iter().for_each(|warning| self.tell(&LogEvent::CertificateWarning { address, warning }));
                }
                Reload::Refused(why) => {
                    self.stats.certificate_reloads.inc(CertificateReload::Refused);
                    self.tell_next(place, &LogEvent::CertificatesRefused { address, why: &why });
                }
            }
        }
        settled
    }

    /// Tells of certificates that have ended, or end soon: at the start, and once a day.
    fn tell_of_dates(&self, now: i64, told: &mut Option<i64>) {
        let today = now.div_euclid(DAY);
        if told.replace(today) == Some(today) {
            return;
        }
        for (address, certificate) in self.certificates() {
            if let Some(concern) = certificate.concern(now, CLOSE) {
                let name = certificate.name();
                let event = LogEvent::CertificateEnds { address, name, concern: &concern };
                self.tell_at(
                    ADDRESSES + number(&event) as usize % OTHERS,
                    number(&event) ^ today.unsigned_abs(),
                    &event,
                );
            }
        }
    }

    fn certificates(&self) -> impl Iterator<Item = (&str, Certificate)> {
        self.addresses.iter().flat_map(|(address, tls)| tls.certificates().into_iter().map(|it| (address.as_str(), it)))
    }

    /// Tells something that is said in these words once, unless another worker of the cluster has.
    fn tell(&self, event: &LogEvent<'_>) {
        let words = number(event);
        self.tell_at(ADDRESSES + words as usize % OTHERS, words, event);
    }

    /// The same for what follows on other things about an address, and may come again.
    fn tell_next(&self, address: usize, event: &LogEvent<'_>) {
        self.tell_at(address % ADDRESSES, number(event), event);
    }

    fn tell_at(&self, place: usize, what: u64, event: &LogEvent<'_>) {
        if self.member.as_ref().is_none_or(|member| member.tells_first(place, what)) {
            (self.observer)(event);
        }
    }
}

/// How many addresses, and how many other things, have a place of their own among what one worker tells for all. Where two share one, a
/// line may come twice.
const ADDRESSES: usize = 16;
const OTHERS: usize = 48;

/// A number for the words of a line, the same in all processes.
fn number(event: &LogEvent<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.to_string().hash(&mut hasher);
    hasher.finish()
}
