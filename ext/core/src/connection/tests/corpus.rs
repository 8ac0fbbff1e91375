//! The cases of `spec/corpus`, each at once, byte by byte and in pieces. `spec/http/corpus_spec.rb` runs the same against a server;
//! `spec/corpus/README.md` has the format.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::{
    config::Limits,
    connection::conversation::{Conversation, converse},
};

/// Sent behind a message whose connection is to stay: it is answered, and ends it.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// A case longer than this is not sent byte by byte.
const LONG: usize = 8192;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Why it is so, where a person can look it up.
    rfc: String,
    bytes: Bytes,
    /// The client ends its side behind the bytes.
    #[serde(default)]
    ends: bool,
    #[serde(default)]
    settings: Settings,
    expect: Expectation,
}

/// One string, whose characters are bytes, or several pieces.
#[derive(Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Pieces(Vec<Piece>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    Repeated { repeat: String, times: usize },
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    http_content_length_limit: Option<u64>,
    head_limit: Option<usize>,
    header_fields_limit: Option<usize>,
    #[serde(default)]
    stream_input: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    /// `STATUS WORDS`, each word something that the response has.
    #[serde(default)]
    answers: Vec<Answer>,
    /// `METHOD TARGET BODY`
    #[serde(default)]
    requests: Vec<String>,
    /// The connection serves another request; otherwise it is closed.
    #[serde(default)]
    stays: bool,
    /// Why the server refuses the last of them, where the status alone does not tell.
    refused: Option<String>,
}

/// YAML has a status alone for a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Status(u16),
    Words(String),
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()
}

impl Bytes {
    fn all(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => latin1(text),
            Self::Pieces(pieces) => pieces
                .iter()
                .flat_map(|piece| match piece {
                    Piece::Text(text) => latin1(text),
                    Piece::Repeated { repeat, times } => latin1(repeat).repeat(*times),
                })
                .collect(),
        }
    }
}

impl Settings {
    fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits {
            http_content_length_limit: self.http_content_length_limit.or(usual.http_content_length_limit),
            head_limit: self.head_limit.unwrap_or(usual.head_limit),
            header_fields_limit: self.header_fields_limit.unwrap_or(usual.header_fields_limit),
            stream_input: self.stream_input,
            ..usual
        }
    }
}

/// Takes a line off the front.
fn line(rest: &mut &[u8]) -> Result<String, String> {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or("a line does not end")?;
    let line = String::from_utf8_lossy(&rest[..end]).into_owned();
    *rest = &rest[end + 2..];
    Ok(line)
}

fn take(rest: &mut &[u8], length: usize) -> Result<(), String> {
    *rest = rest.get(length..).ok_or("a body is cut")?;
    Ok(())
}

/// Takes a response off the front, which is to be as `expected`. Returns what it is instead.
fn read_answer(rest: &mut &[u8], expected: &str) -> Result<(), String> {
    let mut words = expected.split(' ');
    let status = words.next().unwrap();
    let words: Vec<_> = words.collect();
    let first = line(rest)?;
    let (version, got) = first.split_once(' ').ok_or("no status line")?;
    if got.split(' ').next() != Some(status) {
        return Err(format!("{first:?} instead of {expected}"));
    }
    let mut fields = Vec::new();
    loop {
        let field = line(rest)?;
        if field.is_empty() {
            break;
        }
        let (name, value) = field.split_once(':').ok_or("a field without a colon")?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let (length, chunked) = (field("content-length"), field("transfer-encoding") == Some("chunked"));
    for word in &words {
        let right = match *word {
            "head" => true,
            "chunked" => chunked && length.is_none(),
            "bare" => !chunked && length.is_none(),
            "close" | "keep-alive" => field("connection") == Some(word),
            "silent" => field("connection").is_none(),
            "to-end" => !chunked && length.is_none(),
            "1.0" => version == "HTTP/1.0",
            other => Some(other) == length.map(|length| format!("length={length}")).as_deref(),
        };
        if !right {
            return Err(format!("not {word}: {first:?} {fields:?}"));
        }
    }
    if words.contains(&"head") || words.contains(&"bare") || status.starts_with('1') {
        Ok(())
    } else if words.contains(&"to-end") {
        *rest = &[];
        Ok(())
    } else if chunked {
        loop {
            let size = usize::from_str_radix(&line(rest)?, 16).map_err(|_| "a chunk without a size")?;
            take(rest, size)?;
            if !line(rest)?.is_empty() {
                return Err("a chunk does not end".into());
            }
            if size == 0 {
                return Ok(());
            }
        }
    } else {
        let length = length.and_then(|length| length.parse().ok()).ok_or(format!("no length: {fields:?}"))?;
        take(rest, length)
    }
}

/// Why the server refuses with this status, if it is the server.
fn reason(status: &str) -> Option<&'static str> {
    Some(match status {
        "400" => "malformed",
        "501" => "unsupported",
        "505" => "version",
        "413" => "body_too_large",
        "414" => "target_too_long",
        "431" => "head_too_large",
        _ => return None,
    })
}

fn check(case: &Case, pieces: &[&[u8]]) -> Result<(), String> {
    let expected = &case.expect;
    let mut answers: Vec<_> = expected
        .answers
        .iter()
        .map(|answer| match answer {
            Answer::Status(status) => status.to_string(),
            Answer::Words(words) => words.clone(),
        })
        .collect();
    let mut requests: Vec<_> = expected.requests.iter().map(|text| latin1(text)).collect();
    let mut pieces = pieces.to_vec();
    if expected.stays {
        pieces.push(NEXT);
        answers.push("200 close".into());
        requests.push(b"GET /next".to_vec());
    }
    let Conversation { heard, answered, waits, refused } = converse(&pieces, case.ends, case.settings.limits());
    let heard: Vec<_> = heard
        .iter()
        .map(|heard| {
            let body = if heard.body.is_empty() { vec![] } else { [b" ".as_slice(), &heard.body].concat() };
            [heard.method.as_bytes(), b" ", &heard.target, &body].concat()
        })
        .collect();
    let shown = |requests: &[Vec<u8>]| requests.iter().map(|one| one.escape_ascii().to_string()).collect::<Vec<_>>();
    if heard != requests {
        return Err(format!("the app got {:?}; answered {}", shown(&heard), answered.escape_ascii()));
    }
    let mut rest = answered.as_slice();
    for answer in &answers {
        read_answer(&mut rest, answer).map_err(|why| format!("{why}, in {}", answered.escape_ascii()))?;
    }
    if !rest.is_empty() {
        return Err(format!("and then {}", rest.escape_ascii()));
    }
    if waits {
        return Err(format!("the server waits for more, behind {}", answered.escape_ascii()));
    }
    let status = answers.last().and_then(|answer| answer.split(' ').next());
    let by_status = status.and_then(reason);
    let expected = expected.refused.as_deref().or(by_status);
    if refused.last().copied() != expected || refused.len() > 1 {
        return Err(format!("refused as {refused:?} instead of {expected:?}"));
    }
    Ok(())
}

#[test]
fn every_case_of_the_corpus_comes_out_as_it_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/corpus");
    let (mut cases, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let file: Vec<Case> = serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        for case in &file {
            cases += 1;
            assert!(!case.rfc.is_empty(), "{}: no reason", case.name);
            let bytes = case.bytes.all();
            let mut ways = vec![bytes.len().max(1), 7.max(bytes.len() / 1000)];
            if bytes.len() <= LONG {
                ways.push(1);
            }
            for step in ways {
                let pieces: Vec<_> = bytes.chunks(step).collect();
                if let Err(why) = check(case, &pieces) {
                    let file = path.file_stem().unwrap().to_string_lossy().into_owned();
                    wrong.push(format!("{file}: {} ({step} bytes at a time): {why}", case.name));
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cases} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases >= 300, "only {cases} cases were found");
}
