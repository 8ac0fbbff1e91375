//! Files with source text, read all in one go: a Ruby thread that opens one after the other waits for the GVL after each of them, and
//! where a request computes that is a time slice each.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use magnus::{Error, RArray, Ruby};

use crate::gvl;

/// Bytes of a file. No program has so many; what is longer is not read.
const LONGEST: u64 = 16 << 20;

/// When a file was last changed, in nanoseconds since 1970; -1 where it is none.
type Changed = i64;

/// What was found of a file that is not as it was known.
struct Source {
    changed: Changed,
    /// Its text, if that has the word.
    text: Option<Vec<u8>>,
}

/// For each of `files`, `[path, changed]` with what was returned for it before (nil for one that is new), `[changed, text]`, or nil
/// where it has not changed. The text is nil where `word` is not in it, or where it can't be read.
pub(crate) fn changed(ruby: &Ruby, files: Vec<(PathBuf, Option<Changed>)>, word: String) -> Result<RArray, Error> {
    let found = gvl::without(ruby, || {
        files.iter().map(|(path, known)| look(path, *known, word.as_bytes())).collect::<Vec<_>>()
    })?;
    let array = ruby.ary_new_capa(found.len());
    for source in found {
        array.push(source.map(|source| (source.changed, source.text.map(|text| ruby.str_from_slice(&text)))))?;
    }
    Ok(array)
}

fn look(path: &Path, known: Option<Changed>, word: &[u8]) -> Option<Source> {
    let changed = changed_at(path).unwrap_or(-1);
    if known == Some(changed) {
        return None;
    }
    let text = if changed < 0 { None } else { read(path).ok() };
    Some(Source { changed, text: text.filter(|text| text.windows(word.len()).any(|part| part == word)) })
}

fn changed_at(path: &Path) -> io::Result<Changed> {
    let file = fs::metadata(path)?;
    if !file.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as Changed))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}
