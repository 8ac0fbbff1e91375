//! Tickets by which clients resume a session without a whole handshake (RFC 8446 section 4.6.1, RFC 5077), and the keys that they are
//! sealed with. The processes of a cluster share the keys, so that any worker resumes what another has begun.
//!
//! There are two keys: one that seals, and the one before it, which still opens. A new one takes the place of the elder every
//! [`PERIOD`], so that what is found in memory opens no conversation that is older than two of these.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
            fence,
        },
    },
    time::Duration,
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
    rand,
};
use rustls::server::ProducesTickets;

use crate::sys::shared_memory::atomics_only;

/// How long a key seals; a ticket can be used for at least as long.
pub(crate) const PERIOD: Duration = Duration::from_secs(6 * 3600);

const WORDS: usize = 4;
const ID: usize = 8;

/// The keys, in memory that processes may share.
#[derive(Debug, Default)]
pub(crate) struct TicketKeys {
    slots: [Slot; 2],
    /// Which of them seals.
    sealing: AtomicU32,
    /// When the next key is due: seconds since 1970. The process that moves it makes that key.
    due: AtomicU64,
}

/// A key with its number, which is 0 where there is none. The version is odd while it is written.
#[derive(Default)]
struct Slot {
    version: AtomicU64,
    id: AtomicU64,
    key: [AtomicU64; WORDS],
}

atomics_only!(Slot { version, id, key });
atomics_only!(TicketKeys { slots, sealing, due });

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

/// A key that was read.
type Key = (u64, [u8; 8 * WORDS]);

impl Slot {
    fn read(&self) -> Option<Key> {
        // A writer is done at once; one that has died in the middle has left a slot that is never used.
        for _ in 0..8 {
            let before = self.version.load(Acquire);
            let id = self.id.load(Relaxed);
            let mut key = [0; 8 * WORDS];
            for (bytes, word) in key.chunks_exact_mut(8).zip(&self.key) {
                bytes.copy_from_slice(&word.load(Relaxed).to_le_bytes());
            }
            fence(Acquire);
            if before.is_multiple_of(2) && self.version.load(Relaxed) == before {
                return (id != 0).then_some((id, key));
            }
        }
        None
    }

    fn write(&self, (id, key): Key) {
        let version = self.version.load(Relaxed) | 1;
        self.version.store(version, Relaxed);
        fence(Release);
        self.id.store(id, Relaxed);
        for (word, bytes) in self.key.iter().zip(key.chunks_exact(8)) {
            word.store(bytes.try_into().map_or(0, u64::from_le_bytes), Relaxed);
        }
        self.version.store(version.wrapping_add(1), Release);
    }
}

impl TicketKeys {
    /// Makes a new key, where it is time for one. Several processes may call this at a time.
    pub(crate) fn rotate(&self, now: u64) {
        let due = self.due.load(Acquire);
        let next = now.saturating_add(PERIOD.as_secs());
        // A clock that was set back must not keep a key for ever.
        if (now < due && due <= next) || self.due.compare_exchange(due, next, AcqRel, Relaxed).is_err() {
            return;
        }
        let (mut id, mut key) = ([0; 8], [0; 8 * WORDS]);
        if rand::fill(&mut id).is_err() || rand::fill(&mut key).is_err() {
            return; // the keys that there are go on
        }
        self.put((u64::from_le_bytes(id).max(1), key));
    }

    fn put(&self, key: Key) {
        let other = self.sealing.load(Relaxed) ^ 1;
        self.slots[other as usize & 1].write(key);
        self.sealing.store(other, Release);
    }

    fn sealing(&self) -> Option<Key> {
        self.slots[self.sealing.load(Acquire) as usize & 1].read()
    }

    fn by_id(&self, id: u64) -> Option<Key> {
        self.slots.iter().filter_map(Slot::read).find(|key| key.0 == id)
    }

    /// The keys, for the process's next image: the elder first.
    pub(crate) fn export(&self) -> Vec<u8> {
        let sealing = self.sealing.load(Acquire) as usize & 1;
        let mut bytes = self.due.load(Acquire).to_le_bytes().to_vec();
        for (id, key) in [1 - sealing, sealing].into_iter().filter_map(|slot| self.slots[slot].read()) {
            bytes.extend_from_slice(&id.to_le_bytes());
            bytes.extend_from_slice(&key);
        }
        bytes
    }

    /// Takes what [`export`](Self::export) has given, before any other process uses these. What is not that changes nothing.
    pub(crate) fn import(&self, bytes: &[u8]) {
        let Some((due, keys)) = bytes.split_first_chunk::<8>() else { return };
        let mut keys = keys.chunks_exact(ID + 8 * WORDS).filter_map(|bytes| {
            let (id, key) = bytes.split_first_chunk::<ID>()?;
            Some((u64::from_le_bytes(*id), key.try_into().ok()?))
        });
        keys.by_ref().take(2).for_each(|key| self.put(key));
        if self.sealing().is_some() {
            self.due.store(u64::from_le_bytes(*due), Release);
        }
    }
}

/// Where the keys are.
#[derive(Clone, Debug)]
pub(crate) enum KeyStore {
    /// This process's own.
    Own(Arc<TicketKeys>),
    /// A cluster's.
    Shared(&'static TicketKeys),
}

impl Default for KeyStore {
    fn default() -> Self {
        Self::Own(Arc::default())
    }
}

impl KeyStore {
    pub(crate) fn keys(&self) -> &TicketKeys {
        match self {
            Self::Own(keys) => keys,
            Self::Shared(keys) => keys,
        }
    }
}

/// The keys that the addresses of a server use; they are exchanged when it becomes a cluster's.
#[derive(Debug, Default)]
pub(crate) struct Keyring(RwLock<KeyStore>);

impl Keyring {
    /// From now on these.
    pub(crate) fn replace(&self, store: KeyStore) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = store;
    }

    pub(crate) fn store(&self) -> KeyStore {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Seals and opens the tickets of an address.
pub(super) struct Ticketer {
    keyring: Arc<Keyring>,
    /// What a client has shown under other rules must not count under these: a key is good for one context alone.
    context: u64,
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketer").finish_non_exhaustive()
    }
}

impl Ticketer {
    pub(super) fn new(keyring: Arc<Keyring>, context: u64) -> Self {
        Self { keyring, context }
    }

    fn cipher(&self, key: &[u8]) -> Option<LessSafeKey> {
        let secret = Salt::new(HKDF_SHA256, b"tidegate ticket").extract(key);
        let context = self.context.to_be_bytes();
        let parts = [context.as_slice()];
        let expanded = secret.expand(&parts, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(expanded)))
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        PERIOD.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let (id, key) = self.keyring.store().keys().sealing()?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let id = id.to_le_bytes();
        let mut sealed = plain.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.cipher(&key)?.seal_in_place_append_tag(unique, Aad::from(id), &mut sealed).ok()?;
        Some([id.as_slice(), &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = ticket.split_first_chunk::<ID>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (_, key) = self.keyring.store().keys().by_id(u64::from_le_bytes(*id))?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.cipher(&key)?.open_in_place(nonce, Aad::from(*id), &mut sealed).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::sys::shared_memory::{in_child, shared};

    const HOURS: u64 = 3600;

    fn ticketer(keys: &Arc<TicketKeys>, context: u64) -> Ticketer {
        let keyring = Arc::new(Keyring::default());
        keyring.replace(KeyStore::Own(keys.clone()));
        Ticketer::new(keyring, context)
    }

    #[test]
    fn a_ticket_is_good_for_a_period_after_its_key_has_been_followed_and_not_for_two() {
        let keys = Arc::new(TicketKeys::default());
        let tickets = ticketer(&keys, 1);
        assert!(tickets.encrypt(b"state").is_none());
        keys.rotate(1000);
        let ticket = tickets.encrypt(b"state").unwrap();
        keys.rotate(1000 + 5 * HOURS);
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"state");
        keys.rotate(1000 + 6 * HOURS);
        assert_ne!(tickets.encrypt(b"state").unwrap()[..ID], ticket[..ID]);
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"state");
        keys.rotate(1000 + 12 * HOURS);
        assert!(tickets.decrypt(&ticket).is_none());
    }

    #[test]
    fn a_ticket_that_was_changed_or_that_belongs_elsewhere_is_none() {
        let keys = Arc::new(TicketKeys::default());
        keys.rotate(1000);
        let tickets = ticketer(&keys, 1);
        let ticket = tickets.encrypt(b"state").unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert!(tickets.decrypt(&changed).is_none(), "{at}");
            assert!(tickets.decrypt(&ticket[..at]).is_none());
        }
        assert!(ticketer(&keys, 2).decrypt(&ticket).is_none());
        assert!(ticketer(&Arc::default(), 1).decrypt(&ticket).is_none());
    }

    #[test]
    fn the_next_image_opens_what_this_one_has_sealed() {
        let (keys, next) = (Arc::new(TicketKeys::default()), Arc::new(TicketKeys::default()));
        keys.rotate(1000);
        let old = ticketer(&keys, 1).encrypt(b"old").unwrap();
        keys.rotate(1000 + 6 * HOURS);
        let new = ticketer(&keys, 1).encrypt(b"new").unwrap();
        next.import(&keys.export());
        next.rotate(1000 + 7 * HOURS);
        let tickets = ticketer(&next, 1);
        assert_eq!(
            (tickets.decrypt(&old).unwrap(), tickets.decrypt(&new).unwrap()),
            (b"old".to_vec(), b"new".to_vec())
        );
        assert_eq!(tickets.encrypt(b"").unwrap()[..ID], new[..ID]);
        let untouched = TicketKeys::default();
        untouched.import(b"short");
        untouched.import(&[0; 20]);
        assert!(untouched.sealing().is_none());
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_keep_a_key() {
        let keys = TicketKeys::default();
        keys.rotate(100 * HOURS);
        let first = keys.sealing().unwrap();
        keys.rotate(10 * HOURS);
        assert_ne!(keys.sealing().unwrap(), first);
    }

    #[test]
    fn processes_share_the_keys() {
        let keys: &'static TicketKeys = &shared::<TicketKeys>(1).unwrap()[0];
        in_child(|| {
            keys.put((7, [5; 32]));
        });
        assert_eq!(keys.by_id(7), Some((7, [5; 32])));
        assert_eq!(keys.sealing(), Some((7, [5; 32])));
    }
}
