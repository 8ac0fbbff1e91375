//! The corpus of each target, once: what was found stays found. `bin/test` runs this.

use std::{fs, path::Path};

/// An input of a line in which a backslash is two, and what is no printable ASCII is `\xNN`.
fn unescape(line: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), line.as_bytes());
    while let [first, after @ ..] = rest {
        (rest, _) = match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("digits");
                (after, bytes.push(u8::from_str_radix(digits, 16).expect("digits")))
            }
            (b'\\', [b'\\', after @ ..]) => (after, bytes.push(b'\\')),
            _ => (after, bytes.push(*first)),
        };
    }
    bytes
}

#[test]
fn nothing_in_the_corpus_of_a_target_breaks_it() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in tidegate_fuzz::TARGETS {
        let text =
            fs::read_to_string(corpus.join(format!("{name}.txt"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!text.is_empty(), "{name} has no corpus");
        for line in text.lines() {
            let input = unescape(line);
            if std::panic::catch_unwind(|| target(&input)).is_err() {
                panic!("{name} breaks with {line}");
            }
        }
    }
}
