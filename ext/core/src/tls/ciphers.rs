//! The cipher suites that an address may use, by the names of OpenSSL and IANA.

use rustls::{
    CipherSuite,
    crypto::{CryptoProvider, aws_lc_rs},
};

/// What all of them are called: TLS 1.2 as OpenSSL writes it, TLS 1.3 as IANA does.
const NAMES: [(&str, CipherSuite); 9] = [
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// What encrypts, with the named suites alone in the order of their names; all of a version that none is named for. `Err` is a sentence
/// about a name that is not known. `ignored` gets one about what such names are ignored for.
pub(super) fn provider(wanted: &[String], warnings: &mut Vec<String>) -> Result<CryptoProvider, String> {
    let mut provider = aws_lc_rs::default_provider();
    if wanted.is_empty() {
        return Ok(provider);
    }
    let known: Vec<CipherSuite> = wanted.iter().filter_map(|name| suite(name)).collect();
    let unknown: Vec<&str> = wanted.iter().filter(|name| suite(name).is_none()).map(String::as_str).collect();
    if known.is_empty() && !unknown.iter().all(|name| is_rule(name)) {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "none of the cipher suites {} is spoken; these are: {}",
            unknown.join(":"),
            names.join(", ")
        ));
    }
    if !unknown.is_empty() {
        warnings.push(format!(
            "{} in the list of cipher suites changes nothing: all that are spoken are AEAD suites with forward secrecy",
            unknown.join(":")
        ));
    }
    let is_tls13 = |suite: CipherSuite| suite.as_str().is_some_and(|name| name.starts_with("TLS13_"));
    let all = std::mem::take(&mut provider.cipher_suites);
    for version13 in [true, false] {
        let chosen: Vec<_> = known.iter().filter(|suite| is_tls13(**suite) == version13).collect();
        let of_version = || all.iter().filter(|suite| is_tls13(suite.suite()) == version13);
        if chosen.is_empty() {
            provider.cipher_suites.extend(of_version());
        } else {
            provider
                .cipher_suites
                .extend(chosen.iter().filter_map(|wanted| of_version().find(|suite| suite.suite() == **wanted)));
        }
    }
    Ok(provider)
}

fn suite(name: &str) -> Option<CipherSuite> {
    let found = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, suite)| *suite)
}

/// Whether it is a rule of OpenSSL's about many suites, such as `!aNULL`, `HIGH` or `AES+SHA`.
fn is_rule(name: &str) -> bool {
    name.starts_with(['!', '-', '+', '@']) || name.contains('+') || !name.contains(['-', '_'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suites(names: &[&str]) -> (Vec<String>, Vec<String>) {
        let (names, mut warnings) = (names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), Vec::new());
        let provider = provider(&names, &mut warnings).unwrap();
        (provider.cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect(), warnings)
    }

    #[test]
    fn those_that_are_named_are_used_in_their_order() {
        let (chosen, warnings) = suites(&["ECDHE-RSA-AES128-GCM-SHA256", "TLS_CHACHA20_POLY1305_SHA256"]);
        assert_eq!(chosen, ["TLS13_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
        assert!(warnings.is_empty());
        assert_eq!(suites(&["TLS_AES_128_GCM_SHA256"]).0.len(), 7);
        assert_eq!(suites(&[]).0.len(), 9);
    }

    #[test]
    fn rules_change_nothing_and_say_so() {
        let (chosen, warnings) = suites(&["!aNULL", "AES+SHA", "HIGH"]);
        assert_eq!((chosen.len(), warnings.len()), (9, 1));
        assert!(warnings[0].starts_with("!aNULL:AES+SHA:HIGH in the list"), "{warnings:?}");
    }

    #[test]
    fn what_is_not_spoken_is_said_and_alone_it_is_an_error() {
        let (chosen, warnings) = suites(&["AES128-SHA", "ECDHE-RSA-AES128-GCM-SHA256"]);
        assert_eq!((chosen.len(), warnings.len()), (4, 1));
        let error = provider(&["AES128-SHA".into()], &mut Vec::new()).unwrap_err();
        assert!(error.contains("AES128-SHA is spoken; these are: TLS_AES_256"), "{error}");
    }
}
