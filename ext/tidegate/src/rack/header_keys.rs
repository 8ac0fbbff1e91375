//! Header names as env keys: `accept-encoding` is `HTTP_ACCEPT_ENCODING`. Which names may become keys, and the keys: each is
//! made once and shared by all requests.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use http::{HeaderMap, HeaderName, header};
use magnus::{RString, Ruby, gc::Marker, value::Opaque};

/// How many keys are remembered. The keys of other names, which clients make up, are made anew each time.
const REMEMBERED: usize = 512;
/// The keys of longer names are not remembered.
const LONGEST: usize = 64;

/// The keys that have been made so far.
#[derive(Default)]
pub(crate) struct HeaderKeys(Mutex<HashMap<HeaderName, Opaque<RString>>>);

impl HeaderKeys {
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

/// Whether the key of a header would be one that the server sets itself: `Version` has that of `HTTP_VERSION`, which older apps
/// and Rack itself take for the protocol's version, and `Proxy` that of `HTTP_PROXY`, which makes HTTP clients in CGI programs
/// send their requests elsewhere.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    matches!(name.as_str(), "version" | "proxy")
}

/// What becomes of header names with underscores: their env keys are those of the names with dashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Underscores {
    /// They are passed on, unless the request has the same name with dashes too.
    Unambiguous,
    /// They are passed on, unless Rack forbids their keys.
    All,
    /// They are dropped.
    None,
}

impl Underscores {
    /// Whether a name may become an env key. One with underscores must not pass for another header of the request, as
    /// `X_Real_IP` for `X-Real-IP`, nor for what the server says of the body.
    pub(crate) fn allow(self, name: &HeaderName, headers: &HeaderMap) -> bool {
        let name = name.as_str();
        if !name.contains('_') {
            return true;
        }
        let forbidden = matches!(name, "content_type" | "content_length" | "transfer_encoding");
        match self {
            Self::None => false,
            Self::All => !forbidden,
            Self::Unambiguous => !forbidden && !headers.contains_key(name.replace('_', "-").as_str()),
        }
    }
}
