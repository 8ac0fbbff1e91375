//! Certificates and keys of an address, and what a handshake has agreed on. Knows files and rustls; knows no socket.
//!
//! | file | subject |
//! |---|---|
//! | [`loaded`] | from the options of an address to what its connections are encrypted with |
//! | [`pem`] [`password`] | files in PEM, and the password of a key |
//! | [`certificate`] [`resolver`] | what is in a certificate, and which one a client is shown |
//! | [`ciphers`] [`clients`] | the cipher suites; the certificates of clients |
//! | [`tickets`] | how sessions are resumed, with any process of a cluster |
//! | [`development`] | a certificate for localhost |
//! | [`info`] | what a handshake has agreed on |

mod certificate;
mod ciphers;
mod clients;
mod development;
mod info;
mod loaded;
mod password;
mod pem;
mod resolver;
pub(crate) mod tickets;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::ServerConfig;

pub(crate) use self::certificate::Certificate;
pub use self::info::TlsInfo;
use self::{
    loaded::{Loaded, Material},
    tickets::{KeyStore, Keyring},
};
use crate::{config::TlsOptions, error::Error};

/// What the connections of an address are encrypted with. Its files are read at boot, and again by [`reload`](Self::reload).
#[derive(Debug)]
pub(crate) struct Tls {
    options: TlsOptions,
    keyring: Arc<Keyring>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    loaded: Arc<Loaded>,
    /// What was found in the files last and could not be used.
    refused: Option<Refused>,
}

/// New files that cannot be used. The files of a pair are replaced one after the other, so that a fault counts when it is found twice.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refused {
    Once(String),
    Told(String),
}

/// What came of a look at the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// There is nothing new to tell.
    Unchanged,
    /// They are being replaced, as it seems: what is there cannot be used, and may be half of something.
    Unsettled,
    /// New connections get these.
    Changed(Vec<Certificate>),
    /// What is there cannot be used, and the server goes on with what it has; a sentence about why.
    Refused(String),
}

impl Tls {
    /// Reads and checks the files.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`] with the name of the file, what is wrong with it and what would be right.
    pub(crate) fn load(options: &TlsOptions) -> Result<Arc<Self>, Error> {
        let keyring = Arc::new(Keyring::default());
        let material = Material::read(options, unix_now()).map_err(Error::configuration)?;
        let loaded = Loaded::build(options, &material, &keyring).map_err(Error::configuration)?;
        let state = Mutex::new(State { loaded: Arc::new(loaded), refused: None });
        let tls = Self { options: options.clone(), keyring, state };
        tls.rotate_tickets(unix_now());
        Ok(Arc::new(tls))
    }

    /// What a new connection is encrypted with.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        self.loaded().config.clone()
    }

    /// The certificates that are shown.
    pub(crate) fn certificates(&self) -> Vec<Certificate> {
        self.loaded().certificates.clone()
    }

    /// Sentences about what is not as it should be.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.loaded().warnings.clone()
    }

    /// The certificate of the authority for development, where that one is used.
    pub(crate) fn development_authority(&self) -> Option<PathBuf> {
        self.options.development.as_deref().map(development::authority)
    }

    /// From now on tickets are sealed with these keys.
    pub(crate) fn share_tickets(&self, store: KeyStore) {
        self.keyring.replace(store);
    }

    /// Has a new key made for tickets, when it is time.
    pub(crate) fn rotate_tickets(&self, now: i64) {
        self.keyring.store().keys().rotate(now.unsigned_abs());
    }

    /// The keys of its tickets.
    pub(crate) fn ticket_keys(&self) -> KeyStore {
        self.keyring.store()
    }

    /// Looks whether the files have changed, and takes what is in them if it can be used. `asked`: an operator wants to know at once.
    /// It reads files and may run a command: not on the I/O thread.
    pub(crate) fn reload(&self, asked: bool, now: i64) -> Reload {
        let before = self.loaded();
        let material = Material::read(&self.options, now);
        let built = match &material {
            Ok(material) if material.fingerprint() == before.fingerprint => {
                self.state().refused = None;
                return Reload::Unchanged;
            }
            // The sentence stands for what is in the files.
            Ok(material) => Loaded::build(&self.options, material, &self.keyring),
            Err(why) => Err(why.clone()),
        };
        let usable = built.and_then(|new| match expired(&before, &new, now) {
            Some(why) => Err(why),
            None => Ok(new),
        });
        let mut state = self.state();
        match usable {
            Ok(new) => {
                let certificates = new.certificates.clone();
                *state = State { loaded: Arc::new(new), refused: None };
                Reload::Changed(certificates)
            }
            Err(why) => {
                let told = Refused::Told(why.clone());
                match state.refused.replace(told.clone()) {
                    Some(Refused::Once(before)) if before == why => Reload::Refused(why),
                    Some(before) if before == told && !asked => Reload::Unchanged,
                    _ if asked => Reload::Refused(why),
                    _ => {
                        state.refused = Some(Refused::Once(why));
                        Reload::Unsettled
                    }
                }
            }
        }
    }

    /// What there is to tell of it before the server starts: a sentence for each certificate, and for each thing that is wrong.
    pub(crate) fn report(&self, now: i64) -> Vec<String> {
        let loaded = self.loaded();
        let certificates = loaded.certificates.iter().map(|certificate| certificate.sentence(now));
        certificates.chain(loaded.warnings.iter().cloned()).collect()
    }

    fn loaded(&self) -> Arc<Loaded> {
        self.state().loaded.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sentence about a new certificate that has expired where none of the old ones has: it is not taken.
fn expired(before: &Loaded, new: &Loaded, now: i64) -> Option<String> {
    let has = |loaded: &Loaded| loaded.certificates.iter().find(|it| it.has_expired(now)).cloned();
    let (None, Some(certificate)) = (has(before), has(new)) else { return None };
    Some(format!("the new certificate for {} {}", certificate.name(), certificate.concern(now, 0).unwrap_or_default()))
}

/// The time of day: seconds since 1970.
pub(crate) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
