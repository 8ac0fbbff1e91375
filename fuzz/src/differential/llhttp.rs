//! Node's parser, and what it makes of the messages that the guard lets pass, one by one.

use std::{
    ffi::{c_char, c_int, c_void},
    ptr::null_mut,
};

use tidegate_core::fuzzing::Message;

/// Differences that do no harm, by llhttp's own numbers: it refuses the message, so that it reads no other. None of them is about
/// where a message ends.
const REFUSES: &[(c_int, &str)] = &[
    (6, "HPE_INVALID_METHOD: it knows some forty methods; RFC 9110 §9.1 has any token for one"),
    (7, "HPE_INVALID_URL: more than one @ before a host; one that has any we refuse behind the guard, with 400"),
    (
        11,
        "HPE_INVALID_CONTENT_LENGTH: a tab beside the number, which RFC 9110 §5.6.3 has; Content-Length in trailers, which we drop",
    ),
    (15, "HPE_INVALID_TRANSFER_ENCODING: a tab beside the word; Transfer-Encoding in trailers, which we drop"),
    (
        22,
        "HPE_PAUSED_UPGRADE: behind an upgrade it leaves the connection to its caller, as we do where the app hijacks it",
    ),
];

/// `on_message_complete` returns this, to stop there.
const PAUSED: c_int = 21;

/// `llhttp_t`, of which only what the callbacks are to find is of interest.
#[repr(C)]
struct Parser {
    before: [u64; 6],
    data: *mut c_void,
    behind: [u64; 16],
}

type OnEvent = unsafe extern "C" fn(*mut Parser) -> c_int;
type OnData = unsafe extern "C" fn(*mut Parser, *const c_char, usize) -> c_int;

/// `llhttp_settings_t`: 23 functions in version 9, and room for those of later ones.
#[repr(C)]
struct Settings {
    on_message_begin: Option<OnEvent>,
    on_url: Option<OnData>,
    others: [Option<OnData>; 7],
    on_headers_complete: Option<OnEvent>,
    on_body: Option<OnData>,
    on_message_complete: Option<OnEvent>,
    behind: [Option<OnEvent>; 20],
}

#[link(name = "llhttp", kind = "static")]
unsafe extern "C" {
    fn llhttp_init(parser: *mut Parser, kind: c_int, settings: *const Settings);
    fn llhttp_execute(parser: *mut Parser, data: *const c_char, length: usize) -> c_int;
    fn llhttp_get_error_pos(parser: *const Parser) -> *const c_char;
}

#[derive(Default)]
struct Read {
    url: Vec<u8>,
    body: Vec<u8>,
    whole: bool,
}

/// # Safety
///
/// For llhttp: `parser` has been given a [`Read`] that nothing else uses meanwhile.
unsafe fn read<'a>(parser: *mut Parser) -> &'a mut Read {
    // SAFETY: see above.
    unsafe { &mut *(*parser).data.cast::<Read>() }
}

unsafe extern "C" fn on_url(parser: *mut Parser, at: *const c_char, length: usize) -> c_int {
    // SAFETY: llhttp calls with what it was given, and with bytes of the input.
    unsafe { read(parser).url.extend_from_slice(std::slice::from_raw_parts(at.cast(), length)) };
    0
}

unsafe extern "C" fn on_body(parser: *mut Parser, at: *const c_char, length: usize) -> c_int {
    // SAFETY: as in `on_url`.
    unsafe { read(parser).body.extend_from_slice(std::slice::from_raw_parts(at.cast(), length)) };
    0
}

unsafe extern "C" fn on_message_complete(parser: *mut Parser) -> c_int {
    // SAFETY: as in `on_url`.
    unsafe { read(parser).whole = true };
    PAUSED
}

/// Compares what llhttp reads of each message with the message.
pub(super) fn compare(messages: &[Message]) {
    for message in messages {
        let bytes = [&message.head[..], &message.framed].concat();
        let (read, error, end) = parse(&bytes);
        let shown = || bytes.escape_ascii().to_string();
        if REFUSES.iter().any(|(number, _)| *number == error) {
            continue;
        }
        assert!(matches!(error, 0 | PAUSED), "llhttp refuses with {error}, at {end}: {}", shown());
        let target = message.head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        assert_eq!(read.url.escape_ascii().to_string(), target.escape_ascii().to_string(), "{}", shown());
        assert_eq!(read.whole, message.body.is_some(), "llhttp ends it at {end}: {}", shown());
        if let Some(body) = &message.body {
            assert_eq!(end, bytes.len(), "llhttp ends it elsewhere: {}", shown());
            assert_eq!(read.body, *body, "{}", shown());
        }
    }
}

/// What was read, llhttp's error, and where it stopped.
fn parse(bytes: &[u8]) -> (Read, c_int, usize) {
    let settings = Settings {
        on_message_begin: None,
        on_url: Some(on_url),
        others: [None; 7],
        on_headers_complete: None,
        on_body: Some(on_body),
        on_message_complete: Some(on_message_complete),
        behind: [None; 20],
    };
    let mut parser = Parser { before: [0; 6], data: null_mut(), behind: [0; 16] };
    let mut read = Read::default();
    let start = bytes.as_ptr().cast::<c_char>();
    // SAFETY: the parser and the settings are larger than llhttp's own, and live longer than the calls; 1 is HTTP_REQUEST.
    unsafe { llhttp_init(&raw mut parser, 1, &raw const settings) };
    parser.data = (&raw mut read).cast();
    // SAFETY: as above; the bytes are there for the call.
    let error = unsafe { llhttp_execute(&raw mut parser, start, bytes.len()) };
    // SAFETY: as above.
    let position = unsafe { llhttp_get_error_pos(&raw const parser) };
    let end = if position.is_null() { bytes.len() } else { position as usize - start as usize };
    (read, error, end)
}
