//! Finds the frames in a stream of bytes that comes in pieces (RFC 9113 §4.1). Payloads are passed over, but for the few bytes at
//! their beginning that decide something.

/// The length of a frame's head.
const HEAD: usize = 9;
/// How much of a payload may be looked at: what GOAWAY says, and the reason for it.
const PEEK: usize = 40;

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const PRIORITY: u8 = 0x2;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const WINDOW_UPDATE: u8 = 0x8;
pub(super) const CONTINUATION: u8 = 0x9;
/// RFC 9218 §7.1.
pub(super) const PRIORITY_UPDATE: u8 = 0x10;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const HAS_PRIORITY: u8 = 0x20;

/// What is known of a frame once its beginning has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    flags: u8,
    /// The length of the payload.
    pub(super) length: usize,
    /// The beginning of the payload: for a type that is looked into, as much as `peek` says.
    pub(super) beginning: &'a [u8],
}

impl Frame<'_> {
    /// Of DATA and HEADERS.
    pub(super) fn ends_stream(&self) -> bool {
        self.flags & END_STREAM != 0
    }

    /// Of HEADERS and CONTINUATION.
    pub(super) fn ends_headers(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// The length of what DATA, HEADERS or CONTINUATION carries, without the padding and the priority.
    pub(super) fn content(&self) -> usize {
        let padding = match self.beginning {
            [padding, ..] if is_padded(self.kind, self.flags) => 1 + usize::from(*padding),
            _ => 0,
        };
        let priority = if self.kind == HEADERS && self.flags & HAS_PRIORITY != 0 { 5 } else { 0 };
        self.length.saturating_sub(padding + priority)
    }
}

fn is_padded(kind: u8, flags: u8) -> bool {
    matches!(kind, DATA | HEADERS) && flags & PADDED != 0
}

/// How many bytes of a payload are looked at.
fn peek(kind: u8, flags: u8, length: usize) -> usize {
    let wanted = match kind {
        RST_STREAM => 4,
        GOAWAY => PEEK,
        _ => usize::from(is_padded(kind, flags)),
    };
    wanted.min(length)
}

/// Where a stream of frames is between and within them.
#[derive(Debug)]
pub(super) struct Walk {
    /// Bytes that belong to no frame, or to the payload of one that is known: they are passed over.
    skip: usize,
    /// The beginning of a frame that has not come as far as it is looked at.
    begun: [u8; HEAD + PEEK],
    have: usize,
}

impl Walk {
    /// `preface` bytes come before the first frame.
    pub(super) fn behind(preface: usize) -> Self {
        Self { skip: preface, begun: [0; HEAD + PEEK], have: 0 }
    }

    /// Takes the next frame out of `bytes`, and leaves what comes behind its beginning there. `None`: all is taken, and more has to come.
    pub(super) fn next<T>(&mut self, bytes: &mut &[u8], take: impl FnOnce(Frame<'_>) -> T) -> Option<T> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        *bytes = &bytes[skipped..];
        if bytes.is_empty() {
            return None;
        }
        // Nearly always all of the beginning is there.
        if self.have == 0
            && let Some((frame, whole)) = read(bytes)
        {
            *bytes = &bytes[whole..];
            self.skip = frame.length - (whole - HEAD);
            return Some(take(frame));
        }
        loop {
            let wanted = match read(&self.begun[..self.have]) {
                Some((frame, whole)) => {
                    self.have = 0;
                    self.skip = frame.length - (whole - HEAD);
                    return Some(take(frame));
                }
                None if self.have < HEAD => HEAD,
                None => HEAD + peek(self.begun[3], self.begun[4], length(&self.begun)),
            };
            if bytes.is_empty() {
                return None;
            }
            let taken = (wanted - self.have).min(bytes.len());
            self.begun[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            *bytes = &bytes[taken..];
        }
    }
}

/// The frame that `bytes` begin with, and how long its beginning is; `None` where that is not all there.
fn read(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (head, payload) = bytes.split_at_checked(HEAD)?;
    let (kind, flags, length) = (head[3], head[4], length(head));
    let beginning = payload.get(..peek(kind, flags, length))?;
    Some((Frame { kind, flags, length, beginning }, HEAD + beginning.len()))
}

fn length(head: &[u8]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}
