//! A response body that the app has framed itself, as chunks (RFC 9112 §7.1). The server takes the chunks apart and frames their
//! content itself, so that a mistake of the app's can't put the connection out of step.
//! `guard::chunks` reads what clients send: it is stricter, and only finds the end.

use std::fmt;

use bytes::{Buf, Bytes};

/// How long a line of it may be: a size with its extensions, or a trailer field.
const LINE: usize = 8 * 1024;

/// Takes chunks apart that come in pieces, divided anywhere. Extensions and trailer fields are left out.
#[derive(Debug, Default)]
pub struct Dechunker {
    state: ChunkState,
    /// Bytes of the line so far.
    line: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkState {
    /// The first digit of a size.
    #[default]
    Start,
    Size(u64),
    /// What follows a size: blanks and extensions.
    Extension(u64),
    /// The LF behind a size.
    SizeEnd(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// The first byte of a trailer field, or of the last line.
    Trailer,
    TrailerField,
    TrailerLf,
    EndLf,
    Over,
}

/// Why a body is not in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadChunks {
    /// A chunk does not begin with its size.
    Size,
    /// A line does not end with CRLF, or is too long.
    Line,
    /// A chunk is longer than its size says.
    TooLong,
    /// Something comes after the last chunk.
    AfterEnd,
    /// There is no last chunk.
    Unfinished,
}

impl fmt::Display for BadChunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "a chunk does not begin with its size",
            Self::Line => "a line does not end with CRLF, or is too long",
            Self::TooLong => "a chunk is longer than its size says",
            Self::AfterEnd => "something comes after the last chunk",
            Self::Unfinished => "it ends before the last chunk",
        })
    }
}

impl std::error::Error for BadChunks {}

impl Dechunker {
    /// Takes the next piece apart and calls `take` with the content in it, which shares its memory.
    ///
    /// # Errors
    ///
    /// [`BadChunks`]. What was taken before was right; nothing after it is.
    pub fn decode(&mut self, mut piece: Bytes, mut take: impl FnMut(Bytes)) -> Result<(), BadChunks> {
        while !piece.is_empty() {
            if let ChunkState::Data(left) = self.state {
                let length = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                take(piece.split_to(length));
                let left = left - length as u64;
                self.state = if left == 0 { ChunkState::DataCr } else { ChunkState::Data(left) };
            } else {
                let byte = piece.get_u8();
                self.line += 1;
                if self.line > LINE {
                    return Err(BadChunks::Line);
                }
                let next = self.state.after(byte)?;
                if matches!(next, ChunkState::Start | ChunkState::Data(_) | ChunkState::Trailer | ChunkState::DataCr) {
                    self.line = 0;
                }
                self.state = next;
            }
        }
        Ok(())
    }

    /// Says that nothing more comes.
    ///
    /// # Errors
    ///
    /// When the last chunk has not come, or not all of it.
    pub fn finish(&self) -> Result<(), BadChunks> {
        if self.state == ChunkState::Over { Ok(()) } else { Err(BadChunks::Unfinished) }
    }
}

impl ChunkState {
    /// What comes after a byte that is not content.
    fn after(self, byte: u8) -> Result<Self, BadChunks> {
        Ok(match (self, byte) {
            (Self::Start, _) => Self::Size(digit(byte).ok_or(BadChunks::Size)?),
            (Self::Size(size), b'\r') | (Self::Extension(size), b'\r') => Self::SizeEnd(size),
            (Self::Size(size), b';' | b' ' | b'\t') => Self::Extension(size),
            (Self::Size(size), _) => {
                let digit = digit(byte).ok_or(BadChunks::Size)?;
                Self::Size(size.checked_mul(16).ok_or(BadChunks::Size)? | digit)
            }
            (Self::Extension(_), b'\n') => return Err(BadChunks::Line),
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::SizeEnd(0), b'\n') => Self::Trailer,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Start,
            (Self::DataCr | Self::DataLf, _) => return Err(BadChunks::TooLong),
            (Self::Trailer, b'\r') => Self::EndLf,
            (Self::TrailerField, b'\r') => Self::TrailerLf,
            (Self::Trailer | Self::TrailerField, b'\n') => return Err(BadChunks::Line),
            (Self::Trailer | Self::TrailerField, _) => Self::TrailerField,
            (Self::TrailerLf, b'\n') => Self::Trailer,
            (Self::EndLf, b'\n') => Self::Over,
            (Self::SizeEnd(_) | Self::TrailerLf | Self::EndLf, _) => return Err(BadChunks::Line),
            (Self::Over, _) => return Err(BadChunks::AfterEnd),
            // Content is not taken byte by byte.
            (Self::Data(size), _) => Self::Data(size),
        })
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, BadChunks> {
        let (mut content, mut dechunker) = (Vec::new(), Dechunker::default());
        for piece in pieces {
            dechunker.decode(Bytes::copy_from_slice(piece), |bytes| content.extend_from_slice(&bytes))?;
        }
        dechunker.finish().map(|()| content)
    }

    /// Each body, and what is in it: at once, and byte by byte.
    #[test]
    fn takes_chunks_apart() {
        let long = format!("1;{}\r\n", "x".repeat(LINE));
        let cases: [(&str, Result<&str, BadChunks>); 31] = [
            ("0\r\n\r\n", Ok("")),
            ("4\r\nabcd\r\n0\r\n\r\n", Ok("abcd")),
            ("4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n", Ok("abcdefg")),
            ("a\r\n0123456789\r\n000\r\n\r\n", Ok("0123456789")),
            ("0A\r\n0123456789\r\n0\r\n\r\n", Ok("0123456789")),
            ("2\r\n\r\n\r\n0\r\n\r\n", Ok("\r\n")),
            ("1;name=value\r\na\r\n0;last\r\n\r\n", Ok("a")),
            ("1 ; name=\"v\"\r\na\r\n0 \r\n\r\n", Ok("a")),
            ("1\r\na\r\n0\r\nx-sum: 1\r\nx-time: 2\r\n\r\n", Ok("a")),
            ("", Err(BadChunks::Unfinished)),
            ("1\r\na\r\n", Err(BadChunks::Unfinished)),
            ("1\r\na\r\n0\r\n", Err(BadChunks::Unfinished)),
            ("1\r\na\r\n0\r\nx: y\r\n", Err(BadChunks::Unfinished)),
            ("4\r\nab", Err(BadChunks::Unfinished)),
            ("hello", Err(BadChunks::Size)),
            ("<html>", Err(BadChunks::Size)),
            ("0x1\r\na\r\n0\r\n\r\n", Err(BadChunks::Size)),
            ("-1\r\na\r\n0\r\n\r\n", Err(BadChunks::Size)),
            (" 1\r\na\r\n0\r\n\r\n", Err(BadChunks::Size)),
            ("\r\na\r\n0\r\n\r\n", Err(BadChunks::Size)),
            ("11111111111111111\r\na", Err(BadChunks::Size)),
            ("1\na\n0\n\n", Err(BadChunks::Size)),
            ("1;\na\n0\n\n", Err(BadChunks::Line)),
            ("1\rX", Err(BadChunks::Line)),
            ("0\r\nx: y\n\r\n", Err(BadChunks::Line)),
            ("0\r\n\n", Err(BadChunks::Line)),
            (&long, Err(BadChunks::Line)),
            ("3\r\nabcd\r\n0\r\n\r\n", Err(BadChunks::TooLong)),
            ("3\r\nabc\n0\r\n\r\n", Err(BadChunks::TooLong)),
            ("0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Err(BadChunks::AfterEnd)),
            ("0\r\n\r\n0\r\n\r\n", Err(BadChunks::AfterEnd)),
        ];
        for (body, expected) in cases {
            let expected = expected.map(|text| text.as_bytes().to_vec());
            assert_eq!(decode([body.as_bytes()]), expected, "{body:?}");
            assert_eq!(decode(body.as_bytes().chunks(1)), expected, "{body:?} byte by byte");
        }
    }

    #[test]
    fn the_largest_size_is_no_overflow() {
        let mut dechunker = Dechunker::default();
        dechunker.decode("ffffffffffffffff\r\nab".into(), |_| {}).unwrap();
        assert_eq!(dechunker.finish(), Err(BadChunks::Unfinished));
    }

    proptest! {
        #[test]
        fn gives_back_what_was_framed_however_it_is_divided(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in prop::collection::vec(1usize..20, 0..60),
        ) {
            let mut framed = Vec::new();
            for chunk in &chunks {
                framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                framed.extend_from_slice(chunk);
                framed.extend_from_slice(b"\r\n");
            }
            framed.extend_from_slice(b"0\r\n\r\n");
            let (mut rest, mut pieces) = (&framed[..], Vec::new());
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(decode(pieces), Ok(chunks.concat()));
        }

        #[test]
        fn never_panics_and_never_says_that_a_beginning_is_whole(
            bytes in prop::collection::vec(prop::sample::select(b"0123af;\r\nxyz: ".to_vec()), 0..60),
        ) {
            let whole = decode([&bytes[..]]);
            prop_assert_eq!(decode(bytes.chunks(1)), whole.clone());
            if whole.is_ok() {
                for end in 0..bytes.len() {
                    prop_assert_eq!(decode([&bytes[..end]]), Err(BadChunks::Unfinished));
                }
            }
        }
    }
}
