//! The framing of a chunked body (RFC 9112 §7.1), byte by byte where it is framing, at once where it is data. Stricter than
//! the RFC in one point: there are no blanks in the line of a chunk's size, because proxies read those in more than one way.

use super::token::is_token;
use crate::stats::refused::Refused;

/// The most digits of a chunk's size.
const DIGITS: u8 = 16;

/// Where in a chunked body the next byte is.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: At,
    /// Bytes of the chunk: announced, then still to come.
    size: u64,
    digits: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    /// Behind `;`, or in an extension's name.
    Extension {
        named: bool,
    },
    /// Behind `=`, or in a value.
    Value {
        begun: bool,
    },
    Quoted,
    /// Behind a backslash in quotes.
    Escaped,
    /// Behind the quotes.
    Unquoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line behind the last chunk.
    Trailer,
    /// In the name of a trailer field.
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

impl Chunks {
    /// How many of the bytes belong to the body, and whether it ends with them.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(usize, bool), Refused> {
        let mut taken = 0;
        while let Some(&byte) = bytes.get(taken) {
            if self.at == At::Data {
                let here = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - taken);
                taken += here;
                self.size -= here as u64;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            taken += 1;
            if self.at == At::EndLf && byte == b'\n' {
                return Ok((taken, true));
            }
            self.at = self.step(byte).ok_or(Refused::Malformed)?;
        }
        Ok((taken, false))
    }

    /// Where a byte of the framing leads; `None` where it may not be.
    fn step(&mut self, byte: u8) -> Option<At> {
        Some(match (self.at, byte) {
            (At::Size, b'\r') if self.digits > 0 => At::SizeLf,
            (At::Size, b';') if self.digits > 0 => At::Extension { named: false },
            (At::Size, _) if self.digits < DIGITS => {
                let digit = char::from(byte).to_digit(16)?;
                self.size = self.size << 4 | u64::from(digit);
                self.digits += 1;
                At::Size
            }
            (At::Extension { named: true }, b'=') => At::Value { begun: false },
            (At::Value { begun: false }, b'"') => At::Quoted,
            (At::Extension { named: true } | At::Value { begun: true } | At::Unquoted, b'\r') => At::SizeLf,
            (At::Extension { named: true } | At::Value { begun: true } | At::Unquoted, b';') => {
                At::Extension { named: false }
            }
            (At::Extension { .. }, byte) if is_token(byte) => At::Extension { named: true },
            (At::Value { .. }, byte) if is_token(byte) => At::Value { begun: true },
            (At::Quoted, b'"') => At::Unquoted,
            (At::Quoted, b'\\') => At::Escaped,
            (At::Quoted | At::Escaped, byte) if is_text(byte) => At::Quoted,
            (At::SizeLf, b'\n') if self.size == 0 => At::Trailer,
            (At::SizeLf, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.digits = 0;
                At::Size
            }
            (At::Trailer, b'\r') => At::EndLf,
            (At::Trailer | At::TrailerName, byte) if is_token(byte) => At::TrailerName,
            (At::TrailerName, b':') => At::TrailerValue,
            (At::TrailerValue, b'\r') => At::TrailerLf,
            (At::TrailerValue, byte) if is_text(byte) => At::TrailerValue,
            (At::TrailerLf, b'\n') => At::Trailer,
            _ => return None,
        })
    }
}

/// What a value may have: no control bytes but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}
