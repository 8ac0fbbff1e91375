//! Which clients the admin listener answers.

use std::fmt;

use serde::Deserialize;
use subtle::ConstantTimeEq;

/// Which clients may ask the admin address for more than a probe.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AdminAccess {
    /// What a request that changes the server has to bring over TCP, as `Authorization: Bearer TOKEN`; without one such
    /// requests are refused there. On a Unix socket the file's permissions decide.
    pub admin_token: Option<Token>,
    /// Host names beside `localhost` and the address's own under which the listener is known. IP addresses are always.
    pub admin_hosts: Vec<String>,
}

/// A secret. It is compared in a time that does not depend on where a guess is wrong, and never printed.
#[derive(Clone, Deserialize)]
pub struct Token(String);

impl Token {
    /// The secret of these bytes, as they are in the header.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(crate) fn is(&self, guess: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(guess).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_matches_itself_alone_and_is_never_printed() {
        let token = Token::new("correct horse");
        assert!(token.is(b"correct horse"));
        for guess in [&b"correct horsf"[..], b"correct hors", b"correct horse ", b"", b"Correct horse"] {
            assert!(!token.is(guess));
        }
        let access = AdminAccess { admin_token: Some(token), admin_hosts: Vec::new() };
        assert!(!format!("{access:?}").contains("correct"));
    }
}
