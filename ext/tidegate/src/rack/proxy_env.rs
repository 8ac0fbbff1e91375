//! What an app is told of what a proxy has said by the PROXY protocol: `tidegate.proxy`, a frozen Hash.

use magnus::{Error, IntoValue, RHash, RString, Ruby, prelude::*};
use tidegate_core::{ProxyInfo, ProxySsl, Route};

/// `{ version: 2, local: false, source: "192.0.2.1", source_port: 4000, destination: "198.51.100.1", destination_port: 443,
/// unique_id: "...", ssl: { ... } }`. What the proxy has not said has no key.
pub(super) fn hash(ruby: &Ruby, said: &ProxyInfo) -> Result<RHash, Error> {
    let hash = Entries { ruby, hash: ruby.hash_new() };
    hash.put("version", said.version)?;
    hash.put("local", said.local)?;
    match &said.route {
        Some(Route::Tcp { source, destination }) => {
            for (name, port, end) in
                [("source", "source_port", source), ("destination", "destination_port", destination)]
            {
                hash.put_text(name, Some(end.ip().to_canonical().to_string().as_bytes()))?;
                hash.put(port, end.port())?;
            }
        }
        Some(Route::Unix { source, destination }) => {
            hash.put_text("source", Some(source))?;
            hash.put_text("destination", Some(destination))?;
        }
        None => {}
    }
    let tlvs = &said.tlvs;
    for (name, value) in [
        ("alpn", &tlvs.alpn),
        ("authority", &tlvs.authority),
        ("unique_id", &tlvs.unique_id),
        ("netns", &tlvs.netns),
        ("aws_vpc_endpoint_id", &tlvs.aws_vpc_endpoint_id),
    ] {
        hash.put_text(name, value.as_deref())?;
    }
    if let Some(id) = tlvs.azure_private_endpoint_id {
        hash.put("azure_private_endpoint_id", id)?;
    }
    if let Some(id) = tlvs.gcp_psc_connection_id {
        hash.put("gcp_psc_connection_id", id)?;
    }
    if let Some(told) = &tlvs.ssl {
        hash.put("ssl", ssl(ruby, told)?)?;
    }
    Ok(hash.finish())
}

fn ssl(ruby: &Ruby, told: &ProxySsl) -> Result<RHash, Error> {
    let hash = Entries { ruby, hash: ruby.hash_new() };
    hash.put("tls", told.tls)?;
    hash.put("certificate", told.certificate)?;
    hash.put("verified", told.verified)?;
    for (name, value) in [
        ("version", &told.version),
        ("cn", &told.cn),
        ("cipher", &told.cipher),
        ("signature_algorithm", &told.signature_algorithm),
        ("key_algorithm", &told.key_algorithm),
        ("client_certificate", &told.client_certificate),
    ] {
        hash.put_text(name, value.as_deref())?;
    }
    Ok(hash.finish())
}

struct Entries<'a> {
    ruby: &'a Ruby,
    hash: RHash,
}

impl Entries<'_> {
    fn put(&self, name: &str, value: impl IntoValue) -> Result<(), Error> {
        self.hash.aset(self.ruby.sym_new(name), value)
    }

    /// Text is UTF-8 where it can be, and else bytes.
    fn put_text(&self, name: &str, value: Option<&[u8]>) -> Result<(), Error> {
        let Some(value) = value else { return Ok(()) };
        let text: RString = match std::str::from_utf8(value) {
            Ok(text) => self.ruby.str_new(text),
            Err(_) => self.ruby.str_from_slice(value),
        };
        text.freeze();
        self.put(name, text)
    }

    fn finish(self) -> RHash {
        self.hash.freeze();
        self.hash
    }
}
