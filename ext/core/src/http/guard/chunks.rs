//! The framing of a chunked body (RFC 9112 §7.1), byte by byte where it is framing, at once where it is data. Stricter than
//! the RFC in one point: there are no blanks in the line of a chunk's size, because proxies read those in more than one way.
//! This one only checks what clients send, and leaves the bytes to hyper; `body::chunked` takes the content out of what the app writes.

use super::token::is_token;
use crate::stats::refused::Refused;

/// The most digits of a chunk's size.
const DIGITS: u8 = 16;

/// Where in a chunked body the next byte is.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: ChunkState,
    /// Bytes of the chunk: announced, then still to come.
    size: u64,
    digits: u8,
}

/// What the next byte is a part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkState {
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
            if self.at == ChunkState::Data {
                let here = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - taken);
                taken += here;
                self.size -= here as u64;
                if self.size == 0 {
                    self.at = ChunkState::DataCr;
                }
                continue;
            }
            taken += 1;
            if self.at == ChunkState::EndLf && byte == b'\n' {
                return Ok((taken, true));
            }
            self.at = self.step(byte).ok_or(Refused::Malformed)?;
        }
        Ok((taken, false))
    }

    /// Where a byte of the framing leads; `None` where it may not be.
    fn step(&mut self, byte: u8) -> Option<ChunkState> {
        Some(match (self.at, byte) {
            (ChunkState::Size, b'\r') if self.digits > 0 => ChunkState::SizeLf,
            (ChunkState::Size, b';') if self.digits > 0 => ChunkState::Extension { named: false },
            (ChunkState::Size, _) if self.digits < DIGITS => {
                let digit = char::from(byte).to_digit(16)?;
                self.size = self.size << 4 | u64::from(digit);
                self.digits += 1;
                ChunkState::Size
            }
            (ChunkState::Extension { named: true }, b'=') => ChunkState::Value { begun: false },
            (ChunkState::Value { begun: false }, b'"') => ChunkState::Quoted,
            (
                ChunkState::Extension { named: true } | ChunkState::Value { begun: true } | ChunkState::Unquoted,
                b'\r',
            ) => ChunkState::SizeLf,
            (
                ChunkState::Extension { named: true } | ChunkState::Value { begun: true } | ChunkState::Unquoted,
                b';',
            ) => ChunkState::Extension { named: false },
            (ChunkState::Extension { .. }, byte) if is_token(byte) => ChunkState::Extension { named: true },
            (ChunkState::Value { .. }, byte) if is_token(byte) => ChunkState::Value { begun: true },
            (ChunkState::Quoted, b'"') => ChunkState::Unquoted,
            (ChunkState::Quoted, b'\\') => ChunkState::Escaped,
            (ChunkState::Quoted | ChunkState::Escaped, byte) if is_text(byte) => ChunkState::Quoted,
            (ChunkState::SizeLf, b'\n') if self.size == 0 => ChunkState::Trailer,
            (ChunkState::SizeLf, b'\n') => ChunkState::Data,
            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataLf, b'\n') => {
                self.digits = 0;
                ChunkState::Size
            }
            (ChunkState::Trailer, b'\r') => ChunkState::EndLf,
            (ChunkState::Trailer | ChunkState::TrailerName, byte) if is_token(byte) => ChunkState::TrailerName,
            (ChunkState::TrailerName, b':') => ChunkState::TrailerValue,
            (ChunkState::TrailerValue, b'\r') => ChunkState::TrailerLf,
            (ChunkState::TrailerValue, byte) if is_text(byte) => ChunkState::TrailerValue,
            (ChunkState::TrailerLf, b'\n') => ChunkState::Trailer,
            _ => return None,
        })
    }
}

/// What a value may have: no control bytes but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}
