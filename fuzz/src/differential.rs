//! The same bytes read by the guard and by the parsers that others have: httparse, which hyper has, and Node's llhttp. The guard
//! may refuse more than they do. What it lets pass they must read as it does, or a request could be smuggled between them and us;
//! the differences that do no harm are listed with the reason where the parser is.

use tidegate_core::fuzzing::{Message, messages};

#[cfg(feature = "llhttp")]
mod llhttp;

/// Compares the guard with the others.
///
/// # Panics
///
/// Where they differ, and the difference is not one that was judged.
pub(crate) fn compare(data: &[u8]) {
    let (messages, _) = messages(data);
    messages.iter().for_each(compare_with_httparse);
    #[cfg(feature = "llhttp")]
    llhttp::compare(&messages);
}

/// The head as hyper gets it: httparse takes it, and all of it, and reads the same method, target and number of fields. Nothing
/// may differ here: what httparse takes otherwise is rewritten before (bytes in targets, `HTTP/1.2`), or refused.
fn compare_with_httparse(message: &Message) {
    let head = &message.head;
    let shown = || head.escape_ascii().to_string();
    let mut fields = vec![httparse::EMPTY_HEADER; 1000];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) => assert_eq!(length, head.len(), "{}", shown()),
        other => panic!("{other:?} of {}", shown()),
    }
    let line = head.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap_or_default();
    let words: Vec<_> = line.split(|byte| *byte == b' ').collect();
    assert_eq!(request.method.map(str::as_bytes), words.first().copied(), "{}", shown());
    assert_eq!(request.path.map(str::as_bytes), words.get(1).copied(), "{}", shown());
    let lines = head.split(|byte| *byte == b'\n').filter(|line| *line != b"\r" && !line.is_empty()).count();
    assert_eq!(request.headers.len(), lines - 1, "{}", shown());
}
