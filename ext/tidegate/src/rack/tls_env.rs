//! What an app is told of a connection's encryption: `tidegate.tls` and `puma.peercert`, made once for all connections that have
//! agreed on the same, because they are the same in each of their requests.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use magnus::{Error, RArray, RClass, RHash, RModule, Ruby, Value, gc::Marker, prelude::*, value::Opaque};
use tidegate_core::TlsInfo;

/// How many are remembered: clients make up server names.
const REMEMBERED: usize = 64;

/// The entries of an env.
#[derive(Clone, Copy)]
pub(super) struct TlsEntries {
    /// `tidegate.tls`, frozen.
    pub(super) info: Opaque<RHash>,
    /// `puma.peercert`: an `OpenSSL::X509::Certificate`, where the client has shown a certificate and Ruby has OpenSSL.
    pub(super) certificate: Option<Opaque<Value>>,
}

/// The entries that have been made last.
#[derive(Default)]
pub(super) struct TlsEnv(Mutex<HashMap<TlsInfo, TlsEntries>>);

impl TlsEnv {
    // Ruby must not be called under this lock: an allocation may run the garbage collector, which takes it to mark.
    fn known(&self) -> MutexGuard<'_, HashMap<TlsInfo, TlsEntries>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The entries for a connection.
    pub(super) fn entries(&self, ruby: &Ruby, info: &TlsInfo) -> Result<TlsEntries, Error> {
        let known = self.known().get(info).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let (hash, certificate) = (hash(ruby, info)?, info.client_certificates.first());
        let certificate = certificate.and_then(|der| parse(ruby, der).ok());
        let made = TlsEntries { info: hash.into(), certificate: certificate.map(Opaque::from) };
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(info.clone(), made);
        Ok(made)
    }

    pub(super) fn mark(&self, marker: &Marker) {
        for entries in self.known().values() {
            marker.mark(entries.info);
            if let Some(certificate) = entries.certificate {
                marker.mark(certificate);
            }
        }
    }
}

/// `{ version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", server_name: "app.example", alpn: "http/1.1", resumed: false,
/// client_certificates: [DER, ...] }`.
fn hash(ruby: &Ruby, info: &TlsInfo) -> Result<RHash, Error> {
    let text = |text: &str| ruby.str_new(text).to_interned_str();
    let certificates: RArray = ruby.ary_new();
    for der in &info.client_certificates {
        let der = ruby.str_from_slice(der);
        der.freeze();
        certificates.push(der)?;
    }
    certificates.freeze();
    let hash = ruby.hash_new();
    hash.aset(ruby.sym_new("version"), text(info.version))?;
    hash.aset(ruby.sym_new("cipher"), text(&info.cipher))?;
    hash.aset(ruby.sym_new("server_name"), info.server_name.as_deref().map(text))?;
    hash.aset(ruby.sym_new("alpn"), info.alpn.as_deref().map(text))?;
    hash.aset(ruby.sym_new("resumed"), info.resumed)?;
    hash.aset(ruby.sym_new("client_certificates"), certificates)?;
    hash.freeze();
    Ok(hash)
}

/// The app's own OpenSSL, which is loaded with the first certificate: an app without mutual TLS does not need it.
fn parse(ruby: &Ruby, der: &[u8]) -> Result<Value, Error> {
    ruby.require("openssl")?;
    let modules: RModule = ruby.class_object().const_get("OpenSSL")?;
    let modules: RModule = modules.const_get("X509")?;
    let class: RClass = modules.const_get("Certificate")?;
    Ok(class.new_instance((ruby.str_from_slice(der),))?.as_value())
}
