//! The guard in front of h2: it sees the frames of a connection in both directions, and finds out where a client makes the server
//! work for nothing. A client that uses HTTP/2 sends few frames beside those that carry its requests, and takes few requests back; one that
//! attacks sends little else. So each kind of frame has an allowance, which the time and the client's real requests fill up again, far above
//! what any client known needs (`ALLOWED`). h2 has bounds of its own, and says in its GOAWAY which was exceeded. A pure state
//! machine: bytes and time in, decisions out. docs/http.md has the list.

mod budget;
#[cfg(test)]
mod tests;
mod walk;

use std::time::{Duration, Instant};

use self::{
    budget::Budget,
    walk::{
        CONTINUATION, DATA, Frame, GOAWAY, HEADERS, PING, PRIORITY, PRIORITY_UPDATE, RST_STREAM, SETTING, SETTINGS,
        WINDOW_UPDATE, Walk,
    },
};
use super::PREFACE;
use crate::stats::flood::Flood;

/// The most bytes that a frame may have (RFC 9113 §4.2): what is longer, h2 refuses.
const LARGEST_FRAME: usize = 16_384;
/// A frame of DATA with so many bytes has a use of its own, so that a WINDOW_UPDATE for it has one too.
const WORTHWHILE_DATA: usize = 64;
/// A CONTINUATION with so many bytes is what a long header needs. Clients that split a block fill their frames.
const WORTHWHILE_FRAGMENT: usize = 1024;
/// So many settings are one more frame.
const SETTINGS_OF_A_FRAME: usize = 10;
/// The code of ENHANCE_YOUR_CALM, as GOAWAY has it (RFC 9113 §7).
const ENHANCE_YOUR_CALM: &[u8] = &[0, 0, 0, 11];

/// Why h2 gets nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The client makes the server work for nothing.
    Flood(Flood),
    /// A frame has not the length that its type has. h2 would say no more than that the protocol was broken.
    FrameSize,
    /// What comes behind the preface is no SETTINGS (RFC 9113 §3.4), which h2 lets pass.
    NoSettings,
}

impl Fault {
    pub(crate) fn flood(self) -> Option<Flood> {
        match self {
            Self::Flood(flood) => Some(flood),
            Self::FrameSize | Self::NoSettings => None,
        }
    }
}

/// What is left of what each kind is allowed.
#[derive(Debug)]
struct Allowed {
    reset: Budget,
    provoked_reset: Budget,
    ping: Budget,
    settings: Budget,
    priority: Budget,
    window_update: Budget,
    empty: Budget,
    continuation: Budget,
    unknown: Budget,
}

/// What each kind is allowed. Of those that are not here, h2 knows how many are too many.
const ALLOWED: Allowed = Allowed {
    // Browsers take back what a page that is left has asked for, proxies what their clients have: with each response one more.
    reset: Budget::of(1000, 100),
    // At the start a client may open more streams than it will be told are allowed. h2 allows 1,024 in all of what it finds itself.
    provoked_reset: Budget::of(1000, 20),
    // gRPC measures the path with one for each time its window comes round: with each DATA one more.
    ping: Budget::of(500, 50),
    // gRPC changes its window some ten times in a connection's first seconds.
    settings: Budget::of(100, 10),
    // Browsers tell of each request's, some several times: with each request ten more.
    priority: Budget::of(1000, 100),
    // Some clients send two for each DATA, and two for each request: with each DATA four more, with each request two.
    window_update: Budget::of(2000, 1000),
    empty: Budget::of(100, 10),
    // Those that carry little and are not a block's last.
    continuation: Budget::of(50, 10),
    // Clients grease with a few (RFC 8701): with each request one more.
    unknown: Budget::of(200, 20),
};

impl Allowed {
    /// A frame has come.
    fn receive(&mut self, frame: &Frame<'_>, age: Duration) -> Result<(), Flood> {
        if frame.length > LARGEST_FRAME {
            return Ok(());
        }
        match frame.kind {
            DATA if frame.ends_stream() => Ok(()),
            DATA => self.carries_something(frame, age),
            HEADERS => {
                self.priority.give(10);
                self.window_update.give(2);
                self.unknown.give(1);
                if frame.ends_headers() { Ok(()) } else { self.carries_something(frame, age) }
            }
            CONTINUATION if frame.ends_headers() || frame.length >= WORTHWHILE_FRAGMENT => Ok(()),
            CONTINUATION => {
                self.carries_something(frame, age)?;
                check(self.continuation.take(1, age), Flood::Continuation)
            }
            RST_STREAM => check(self.reset.take(1, age), Flood::Reset),
            PING => check(self.ping.take(1, age), Flood::Ping),
            SETTINGS => {
                let more = u32::try_from(frame.length / (SETTING * SETTINGS_OF_A_FRAME)).unwrap_or(u32::MAX);
                check(self.settings.take(more.saturating_add(1), age), Flood::Settings)
            }
            PRIORITY | PRIORITY_UPDATE => check(self.priority.take(1, age), Flood::Priority),
            WINDOW_UPDATE => check(self.window_update.take(1, age), Flood::WindowUpdate),
            _ => check(self.unknown.take(1, age), Flood::Unknown),
        }
    }

    fn carries_something(&mut self, frame: &Frame<'_>, age: Duration) -> Result<(), Flood> {
        check(frame.content() > 0 || self.empty.take(1, age), Flood::Empty)
    }

    /// A frame was written.
    fn send(&mut self, frame: &Frame<'_>, age: Duration) -> Result<(), Flood> {
        match frame.kind {
            DATA | HEADERS => {
                if frame.ends_stream() {
                    self.reset.give(1);
                }
                if frame.kind == DATA && (frame.ends_stream() || frame.length >= WORTHWHILE_DATA) {
                    self.ping.give(1);
                    self.window_update.give(4);
                }
                Ok(())
            }
            RST_STREAM if blames_client(frame.beginning) => {
                check(self.provoked_reset.take(1, age), Flood::ProvokedReset)
            }
            GOAWAY => match frame.beginning {
                [_, _, _, _, code @ ..] if code.starts_with(ENHANCE_YOUR_CALM) => {
                    Flood::of_h2(&code[ENHANCE_YOUR_CALM.len()..]).map_or(Ok(()), Err)
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

fn check(allowed: bool, flood: Flood) -> Result<(), Flood> {
    if allowed { Ok(()) } else { Err(flood) }
}

/// Whether a stream was reset with this code because of what its client sent. The app's failures, which are the server's fault, and
/// what ends a drain are other codes.
fn blames_client(code: &[u8]) -> bool {
    // PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, COMPRESSION_ERROR, ENHANCE_YOUR_CALM
    matches!(code, [0, 0, 0, 1 | 3 | 5 | 6 | 7 | 9 | 11])
}

/// How far the head of a request has come, which is divided into HEADERS and CONTINUATION (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// None is arriving.
    None,
    /// Its last frame has begun.
    Last,
    /// More of its frames have to come.
    Open,
}

/// The frames of a connection of HTTP/2, as far as the guard has to know them.
#[derive(Debug)]
pub(crate) struct Frames {
    begun: Instant,
    block: Block,
    /// Since when a head has been arriving.
    head_since: Option<Instant>,
    inbound: Walk,
    outbound: Walk,
    /// SETTINGS have come.
    opened: bool,
    seen: u64,
    allowed: Allowed,
}

impl Frames {
    /// A connection that begins at `now`, with the preface.
    pub(crate) fn new(now: Instant) -> Self {
        let (inbound, outbound) = (Walk::behind(PREFACE.len()), Walk::behind(0));
        let (block, head_since) = (Block::None, None);
        Self { begun: now, block, head_since, inbound, outbound, opened: false, seen: 0, allowed: ALLOWED }
    }

    /// How many frames have come.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Looks at what has come from the client, in pieces of any size.
    ///
    /// # Errors
    ///
    /// What the client sends too much of, or breaks.
    pub(crate) fn received(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Fault> {
        let Self { begun, block, head_since, inbound, opened, seen, allowed, .. } = self;
        let age = now.saturating_duration_since(*begun);
        let mut found = Ok(());
        let mut ended = false;
        let mut look = |frame: Frame<'_>| {
            if !*opened && !frame.is_settings() {
                return Err(Fault::NoSettings);
            }
            *opened = true;
            if !frame.has_its_length() {
                return Err(Fault::FrameSize);
            }
            ended |= *block == Block::Last;
            *block = match frame.kind {
                HEADERS | CONTINUATION if frame.ends_headers() => Block::Last,
                HEADERS | CONTINUATION => Block::Open,
                _ => Block::None,
            };
            allowed.receive(&frame, age).map_err(Fault::Flood)
        };
        while let Some(checked) = inbound.next(&mut bytes, &mut look) {
            *seen += 1;
            found = found.and(checked);
        }
        let arriving = match block {
            Block::Open => true,
            Block::Last => inbound.is_within(),
            Block::None => false,
        };
        *head_since =
            if arriving || inbound.is_at_beginning() { head_since.filter(|_| !ended).or(Some(now)) } else { None };
        found
    }

    /// Since when the head of a request, or a frame that may be one, has been arriving.
    pub(crate) fn head_since(&self) -> Option<Instant> {
        self.head_since
    }

    /// Looks at what was written to the client.
    ///
    /// # Errors
    ///
    /// What the client sends too much of: errors that the server has answered, or what h2 has found.
    pub(crate) fn sent(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        let Self { begun, outbound, allowed, .. } = self;
        let age = now.saturating_duration_since(*begun);
        let mut found = Ok(());
        while let Some(checked) = outbound.next(&mut bytes, |frame| allowed.send(&frame, age)) {
            found = found.and(checked);
        }
        found
    }
}
