//! What the guard takes for a flood and what it does not: each attack by its name, and what clients do that are none.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// A frame of this type, with these flags and this payload.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// A connection whose preface has come.
struct Connection {
    frames: Frames,
    begun: Instant,
    now: Instant,
}

impl Connection {
    fn new() -> Self {
        let now = Instant::now();
        let mut frames = Frames::new(now);
        assert_eq!(frames.received(PREFACE, now), Ok(()));
        Self { frames, begun: now, now }
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), Flood> {
        self.frames.received(bytes, self.now)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Flood> {
        self.frames.sent(bytes, self.now)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// How many of `frame` the client may send at once, and what it has done then.
    fn floods_after(&mut self, frame: &[u8]) -> Option<(usize, Flood)> {
        (0..100_000).find_map(|count| self.receive(frame).err().map(|flood| (count, flood)))
    }

    fn seconds(&self) -> u64 {
        (self.now - self.begun).as_secs()
    }
}

/// Has the client send `frame` and nothing else.
fn flood(frame: &[u8]) -> Option<(usize, Flood)> {
    Connection::new().floods_after(frame)
}

#[test]
fn a_frame_that_is_of_use_only_beside_requests_is_allowed_so_often_and_no_more() {
    let cases: &[(&str, Vec<u8>, usize, Flood)] = &[
        (
            "rapid reset, CVE-2023-44487",
            [frame(HEADERS, 5, b"abc"), frame(RST_STREAM, 0, &CANCEL)].concat(),
            1000,
            Flood::Reset,
        ),
        ("ping flood, CVE-2019-9512", frame(PING, 0, &[0; 8]), 500, Flood::Ping),
        ("a flood of answers to no PING", frame(PING, 1, &[0; 8]), 500, Flood::Ping),
        ("settings flood, CVE-2019-9515", frame(SETTINGS, 0, &[0, 4, 0, 0, 0, 1]), 100, Flood::Settings),
        ("a flood of empty SETTINGS", frame(SETTINGS, 0, b""), 100, Flood::Settings),
        ("SETTINGS of 100 settings each", frame(SETTINGS, 0, &[0; 600]), 9, Flood::Settings),
        ("SETTINGS as large as a frame may be", frame(SETTINGS, 0, &[0; 16_380]), 0, Flood::Settings),
        ("resource loop, CVE-2019-9513", frame(PRIORITY, 0, &[0, 0, 0, 3, 5]), 1000, Flood::Priority),
        ("the same with PRIORITY_UPDATE", frame(PRIORITY_UPDATE, 0, &[0, 0, 0, 1, b'u']), 1000, Flood::Priority),
        ("data dribble, CVE-2019-9511", frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1]), 2000, Flood::WindowUpdate),
        ("empty frames, CVE-2019-9518: DATA", frame(DATA, 0, b""), 100, Flood::Empty),
        ("DATA that is padding", frame(DATA, 8, &[3, 0, 0, 0]), 100, Flood::Empty),
        ("HEADERS that are padding and priority", frame(HEADERS, 0x28, &[1, 0, 0, 0, 0, 1, 0]), 100, Flood::Empty),
        ("CONTINUATION without a fragment", frame(CONTINUATION, 0, b""), 50, Flood::Continuation),
        ("CONTINUATION flood, CVE-2024-27316", frame(CONTINUATION, 0, b"\x82"), 50, Flood::Continuation),
        ("frames of an unknown type", frame(0x42, 0, b"x"), 200, Flood::Unknown),
        ("GOAWAY again and again", frame(GOAWAY, 0, &[0; 8]), 200, Flood::Unknown),
    ];
    for (name, frame, most, reason) in cases {
        assert_eq!(flood(frame), Some((*most, *reason)), "{name}");
    }
}

#[test]
fn what_carries_requests_is_no_flood() {
    for (name, frame) in [
        ("requests", frame(HEADERS, 5, b"abc")),
        ("requests of several frames", [frame(HEADERS, 1, b"abc"), frame(CONTINUATION, 4, b"d")].concat()),
        (
            "a long head",
            [frame(HEADERS, 1, b"abc"), frame(CONTINUATION, 0, &[0; 1024]), frame(CONTINUATION, 4, b"d")].concat(),
        ),
        ("a body", frame(DATA, 0, b"a")),
        ("padded bodies", frame(DATA, 8, &[2, b'a', 0, 0])),
        ("ends of bodies", frame(DATA, 1, b"")),
    ] {
        assert_eq!(flood(&frame), None, "{name}");
    }
}

#[test]
fn how_the_bytes_are_cut_makes_no_difference() {
    let flooding = [
        frame(HEADERS, 0xC, &[2, b'a', 0, 0]),
        frame(DATA, 8, &[1, b'a', 0]),
        frame(SETTINGS, 0, &[0; 12]),
        frame(DATA, 8, &[2, 0, 0]),
        frame(RST_STREAM, 0, &CANCEL),
    ]
    .concat()
    .repeat(101);
    for step in (1..40).chain([1000, flooding.len()]) {
        let mut connection = Connection::new();
        let refused = flooding.chunks(step).find_map(|piece| connection.receive(piece).err());
        // One for each SETTINGS: these are used up by the time the hundred-and-first comes, before the empty DATA.
        assert_eq!(refused, Some(Flood::Settings), "in pieces of {step} bytes");
    }
}

#[test]
fn the_preface_may_come_in_pieces_too() {
    let now = Instant::now();
    let mut frames = Frames::new(now);
    let bytes = [PREFACE, &frame(PING, 0, &[0; 8]).repeat(501)[..]].concat();
    let refused = bytes.chunks(5).find_map(|piece| frames.received(piece, now).err());
    assert_eq!(refused, Some(Flood::Ping));
}

#[test]
fn time_fills_an_allowance_up_and_not_beyond() {
    let mut connection = Connection::new();
    let ping = frame(PING, 0, &[0; 8]);
    assert_eq!(connection.floods_after(&ping), Some((500, Flood::Ping)));
    connection.pass(SECOND);
    assert_eq!(connection.floods_after(&ping), Some((50, Flood::Ping)));
    connection.pass(3600 * SECOND);
    assert_eq!(connection.floods_after(&ping), Some((500, Flood::Ping)));
    // However often a client tries, no part of a second is lost.
    let allowed = (0..1000).filter(|_| {
        connection.pass(Duration::from_millis(7));
        connection.receive(&ping).is_ok()
    });
    assert_eq!(allowed.count(), 350);
    assert_eq!(connection.seconds(), 3608);
}

#[test]
fn resets_are_allowed_beside_responses() {
    let mut connection = Connection::new();
    for _ in 0..10_000 {
        assert_eq!(connection.receive(&frame(HEADERS, 5, b"abc").repeat(2)), Ok(()));
        assert_eq!(connection.receive(&frame(RST_STREAM, 0, &CANCEL)), Ok(()));
        // One of the two is answered, with a body or without.
        assert_eq!(connection.send(&frame(HEADERS, 5, b"abc")), Ok(()));
    }
}

#[test]
fn a_client_may_open_its_window_for_each_piece_that_it_gets() {
    let mut connection = Connection::new();
    let update = frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1]);
    for _ in 0..10_000 {
        assert_eq!(connection.send(&frame(DATA, 0, &[0; WORTHWHILE_DATA])), Ok(()));
        assert_eq!(connection.receive(&update.repeat(4)), Ok(()));
        assert_eq!(connection.receive(&frame(PING, 0, &[0; 8])), Ok(()));
    }
    // A response as short as "ok" is a use too.
    for _ in 0..10_000 {
        assert_eq!(connection.send(&frame(DATA, 1, b"ok")), Ok(()));
        assert_eq!(connection.receive(&update.repeat(2)), Ok(()));
    }
    // And as many events of a stream as have a use.
    for _ in 0..10_000 {
        connection.pass(Duration::from_millis(2));
        assert_eq!(connection.send(&frame(DATA, 0, b"data: x\n\n")), Ok(()));
        assert_eq!(connection.receive(&update.repeat(2)), Ok(()));
    }
}

#[test]
fn a_window_that_is_opened_by_a_byte_at_a_time_is_no_use() {
    let mut connection = Connection::new();
    let update = frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1]);
    let refused = (0..10_000).find_map(|count| {
        assert_eq!(connection.send(&frame(DATA, 0, b"x")), Ok(()));
        connection.receive(&update).err().map(|flood| (count, flood))
    });
    assert_eq!(refused, Some((2000, Flood::WindowUpdate)));
}

#[test]
fn errors_that_the_server_answers_with_rst_stream_count_and_its_own_do_not() {
    for code in [1, 3, 5, 6, 7, 9, 11] {
        let mut connection = Connection::new();
        let provoked = frame(RST_STREAM, 0, &[0, 0, 0, code]);
        let refused = (0..10_000).find_map(|count| connection.send(&provoked).err().map(|flood| (count, flood)));
        assert_eq!(refused, Some((1000, Flood::ProvokedReset)), "MadeYouReset, CVE-2025-8671, with {code}");
    }
    for code in [0, 2, 8, 13] {
        let mut connection = Connection::new();
        assert!((0..10_000).all(|_| connection.send(&frame(RST_STREAM, 0, &[0, 0, 0, code])).is_ok()), "{code}");
    }
}

#[test]
fn what_h2_finds_itself_is_known_by_its_goaway() {
    for (says, found) in [
        ("too_many_resets", Some(Flood::Reset)),
        ("too_many_internal_resets", Some(Flood::ProvokedReset)),
        ("too_many_data_frames", Some(Flood::SmallData)),
        ("too_many_continuations", Some(Flood::Continuation)),
        ("header_list_way_too_large", Some(Flood::HeaderList)),
        ("", None),
    ] {
        let goaway = frame(GOAWAY, 0, &[&[0, 0, 0, 1], ENHANCE_YOUR_CALM, says.as_bytes()].concat());
        for step in [1, 7, 100] {
            let mut connection = Connection::new();
            assert_eq!(goaway.chunks(step).find_map(|piece| connection.send(piece).err()), found, "{says}");
        }
    }
    let other = frame(GOAWAY, 0, &[&[0, 0, 0, 1, 0, 0, 0, 1][..], b"too_many_resets"].concat());
    assert_eq!(Connection::new().send(&other), Ok(()));
}
