//! Header names as env keys: `accept-encoding` is `HTTP_ACCEPT_ENCODING`. Each key is made once and shared by all
//! requests.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use http::{HeaderName, header};
use magnus::{RString, Ruby, gc::Marker, value::Opaque};

/// How many names are remembered. What clients make up beyond that is made anew each time.
const REMEMBERED: usize = 512;
/// A longer name is not worth remembering.
const LONGEST: usize = 64;

/// The keys made so far.
#[derive(Default)]
pub(crate) struct Names(Mutex<HashMap<HeaderName, Opaque<RString>>>);

impl Names {
    // Ruby must not be called under this lock: an allocation may run the garbage collector, which takes it to mark.
    fn known(&self) -> MutexGuard<'_, HashMap<HeaderName, Opaque<RString>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The env key of a header, frozen.
    pub(crate) fn key(&self, ruby: &Ruby, name: &HeaderName) -> RString {
        let known = self.known().get(name).copied();
        if let Some(key) = known {
            return ruby.get_inner(key);
        }
        let key = ruby.str_new(&env_name(name)).to_interned_str();
        let mut known = self.known();
        if known.len() < REMEMBERED && name.as_str().len() <= LONGEST {
            known.insert(name.clone(), key.into());
        }
        key
    }

    pub(crate) fn mark(&self, marker: &Marker) {
        for key in self.known().values() {
            marker.mark(*key);
        }
    }
}

fn env_name(name: &HeaderName) -> String {
    let upper = |name: &str| name.replace('-', "_").to_ascii_uppercase();
    match name {
        &header::CONTENT_TYPE | &header::CONTENT_LENGTH => upper(name.as_str()),
        name => format!("HTTP_{}", upper(name.as_str())),
    }
}
