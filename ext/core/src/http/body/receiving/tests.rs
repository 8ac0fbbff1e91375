use super::*;
use crate::http::body::Budget;
use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::Arc,
    task::Context,
};

use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use tokio::{sync::mpsc, task::yield_now};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn limits(memory: u64, body: Option<u64>) -> BodyLimits {
    BodyLimits { body_memory_limit: Some(memory), http_content_length_limit: body, ..BodyLimits::unlimited() }
}

async fn receive<B>(incoming: B, terms: BodyLimits) -> Result<RequestBody, Unreceived>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
{
    RequestBody::receive(incoming, terms, &std::env::temp_dir()).await.map(|(body, _)| body)
}

fn status(unreceived: Unreceived) -> StatusCode {
    match unreceived {
        Unreceived::Refused(refusal) => refusal.status(),
        Unreceived::Unwritten(error) => panic!("{error}"),
    }
}

fn chunked(pieces: &[&'static str]) -> Scripted {
    Scripted(pieces.iter().map(|piece| Bytes::from(*piece)).collect())
}

/// A body of unannounced length that is all there already.
struct Scripted(VecDeque<Bytes>);

impl Body for Scripted {
    type Data = Bytes;
    type Error = io::Error;
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(http_body::Frame::data(piece))))
    }
}

#[tokio::test]
async fn keeps_a_small_body_in_memory() {
    let body = receive(chunked(&["ab", "cd", "e"]), limits(10, None)).await.unwrap();
    assert!(matches!(body, RequestBody::Memory(body) if body.to_vec() == b"abcde"));
    let body = receive(chunked(&[]), limits(10, None)).await.unwrap();
    assert!(matches!(body, RequestBody::Empty));
}

#[tokio::test]
async fn keeps_what_comes_behind_the_body() {
    for pieces in [&["ab", "cd"][..], &[]] {
        let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), "1".parse().unwrap())]);
        let body = http_body_util::BodyExt::with_trailers(chunked(pieces), async move { Some(Ok(trailers)) });
        let body = http_body_util::BodyExt::boxed_unsync(body);
        let received = RequestBody::receive(body, limits(10, None), &std::env::temp_dir()).await.unwrap();
        assert_eq!(received.1.unwrap().0["x-sum"], "1");
    }
    let received = RequestBody::receive(chunked(&["ab"]), limits(10, None), &std::env::temp_dir()).await.unwrap();
    assert!(received.1.is_none());
}

#[tokio::test]
async fn spools_a_large_body_to_a_file() {
    let body = receive(chunked(&["abcd", "efgh", "ij"]), limits(5, None)).await.unwrap();
    let RequestBody::File { mut file, len } = body else { panic!("{body:?}") };
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), len), ("abcdefghij", 10));
}

#[tokio::test]
async fn spools_a_body_that_is_announced_as_large() {
    let announced = Full::new(Bytes::from("abcdef"));
    let body = receive(announced, limits(5, None)).await.unwrap();
    let RequestBody::File { mut file, len } = body else { panic!("{body:?}") };
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), len), ("abcdef", 6));
    let body = receive(Full::new(Bytes::from("abcde")), limits(5, None)).await.unwrap();
    assert!(matches!(body, RequestBody::Memory(body) if body.to_vec() == b"abcde"));
}

#[tokio::test]
async fn refuses_a_body_over_the_limit_whether_announced_or_not() {
    let announced = Full::new(Bytes::from("abcdef"));
    let refusal = receive(announced, limits(10, Some(5))).await.unwrap_err();
    assert_eq!(status(refusal), StatusCode::PAYLOAD_TOO_LARGE);
    let refusal = receive(chunked(&["abc", "def"]), limits(10, Some(5))).await.unwrap_err();
    assert_eq!(status(refusal), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn gives_up_on_a_body_that_stops_arriving() {
    let refusal = receive(Silent, BodyLimits { body_timeout: Some(Duration::from_secs(3)), ..limits(10, None) })
        .await
        .unwrap_err();
    assert_eq!(status(refusal), StatusCode::REQUEST_TIMEOUT);
}

struct Silent;

impl Body for Silent {
    type Data = Bytes;
    type Error = io::Error;
    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        Poll::Pending
    }
}

fn within(budget: &Arc<Budget>) -> BodyLimits {
    BodyLimits { budget: budget.clone(), ..BodyLimits::unlimited() }
}

/// A body whose pieces come when the test sends them; of a length that is announced where there is one.
struct Sent(mpsc::UnboundedReceiver<Bytes>, Option<u64>);

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(http_body::Frame::data(piece))))
    }
    fn size_hint(&self) -> http_body::SizeHint {
        self.1.map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}

/// A client on its way to send a body.
struct Upload {
    sender: mpsc::UnboundedSender<Bytes>,
    received: tokio::task::JoinHandle<Result<RequestBody, StatusCode>>,
    /// What it has sent.
    sent: Vec<u8>,
}

impl Upload {
    fn begin(terms: BodyLimits, announced: Option<u64>, directory: &'static str) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let received = tokio::spawn(async move {
            let directory = if directory.is_empty() { std::env::temp_dir() } else { directory.into() };
            match RequestBody::receive(Sent(receiver, announced), terms, &directory).await {
                Ok((body, _)) => Ok(body),
                Err(Unreceived::Refused(refusal)) => Err(refusal.status()),
                Err(Unreceived::Unwritten(_)) => Err(StatusCode::INSUFFICIENT_STORAGE),
            }
        });
        Self { sender, received, sent: Vec::new() }
    }

    fn of(budget: &Arc<Budget>) -> Self {
        Self::begin(within(budget), None, "")
    }

    /// Sends so many bytes, of which no two thousand in a row are the same, and waits until the server has looked at them.
    async fn send(&mut self, length: usize) {
        let begun = self.sent.len();
        self.sent.extend((begun..begun + length).map(|index| (index % 251) as u8 ^ (index / 1000) as u8));
        self.sender.send(Bytes::copy_from_slice(&self.sent[begun..])).unwrap();
        yield_now().await;
    }

    /// Ends it. Returns whether the body is in a file; it is the one that was sent.
    async fn end(self) -> bool {
        drop(self.sender);
        let (content, in_file) = match self.received.await.unwrap().unwrap() {
            RequestBody::Memory(body) => (body.to_vec(), false),
            RequestBody::File { mut file, len } => {
                let mut content = Vec::new();
                file.read_to_end(&mut content).unwrap();
                assert_eq!(content.len() as u64, len);
                (content, true)
            }
            other => panic!("{other:?}"),
        };
        assert!(content == self.sent, "{} bytes of {}", content.len(), self.sent.len());
        in_file
    }
}

/// Waits for the disk.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

/// 112 KiB were the limit, however much room there was.
#[tokio::test]
async fn a_large_body_stays_in_memory_where_there_is_room_for_it() {
    for announced in [None, Some(3 * MIB as u64)] {
        let budget = Budget::new(Some(8 * MIB as u64));
        let mut upload = Upload::begin(within(&budget), announced, "");
        for _ in 0..3 * MIB / (100 * KIB) {
            upload.send(100 * KIB).await;
        }
        upload.send(3 * MIB % (100 * KIB)).await;
        assert_eq!((budget.held(), budget.of_requests()), (3 * MIB as u64, 3 * MIB as u64));
        assert!(!upload.end().await);
        assert_eq!((budget.held(), budget.spilled()), (0, 0));
    }
}

#[tokio::test]
async fn one_body_takes_no_more_than_it_leaves_to_others() {
    let budget = Budget::new(Some(4 * MIB as u64));
    let mut upload = Upload::of(&budget);
    upload.send(2 * MIB).await;
    assert_eq!(budget.spilled(), 0);
    upload.send(1).await;
    until(|| budget.held() == 0).await;
    assert_eq!(budget.spilled(), 2 * MIB as u64 + 1);
    // From then on it is in its file, but for what is gathered for it.
    for _ in 0..100 {
        upload.send(100 * KIB).await;
        assert!(budget.held() < BATCH + 100 * KIB as u64);
    }
    // Others have room.
    let mut other = Upload::of(&budget);
    other.send(MIB).await;
    assert!(!other.end().await);
    assert!(upload.end().await);
    assert_eq!(budget.held(), 0);
}

/// What is announced is no more than a hint of where to begin: nothing is kept free for it.
#[tokio::test]
async fn one_that_is_announced_as_too_large_is_gathered_for_its_file_and_takes_no_room_before_it_comes() {
    let budget = Budget::new(Some(4 * MIB as u64));
    let mut liars: Vec<_> = (0..100).map(|_| Upload::begin(within(&budget), Some(1 << 40), "")).collect();
    for liar in &mut liars {
        liar.send(10).await;
    }
    assert_eq!(budget.held(), 1000);
    let mut upload = Upload::begin(within(&budget), Some(MIB as u64), "");
    upload.send(MIB).await;
    assert!(!upload.end().await);
    let mut large = Upload::begin(within(&budget), Some(3 * MIB as u64), "");
    for _ in 0..12 {
        large.send(BATCH as usize).await;
        until(|| budget.held() == 1000).await;
    }
    assert!(large.end().await);
    drop(liars);
}

/// As many as there are, each sends as fast as it can.
#[tokio::test]
async fn many_uploads_at_once_stay_within_the_bound_and_arrive_whole() {
    const PIECE: usize = 64 * KIB;
    const COUNT: usize = 40;
    let limit = 4 * MIB as u64;
    let budget = Budget::new(Some(limit));
    let mut uploads: Vec<_> = (0..COUNT).map(|_| Upload::of(&budget)).collect();
    for _ in 0..32 {
        for upload in &mut uploads {
            upload.send(PIECE).await;
            // A piece more for each that is on its way to the disk.
            assert!(budget.held() <= limit + (COUNT * PIECE) as u64, "{}", budget.held());
        }
        until(|| budget.held() <= limit).await;
    }
    assert!(budget.spilled() > 0);
    for upload in uploads {
        upload.end().await;
    }
    assert_eq!((budget.held(), budget.of_requests()), (0, 0));
}

/// Clients that send half of a body and then nothing, or a byte now and then, would have kept all others from memory.
#[tokio::test(start_paused = true)]
async fn those_that_linger_leave_a_memory_that_others_need() {
    let held = |budget: &Budget| budget.held() / KIB as u64;
    let budget = Budget::new(Some(8 * MIB as u64));
    let mut silent = Upload::of(&budget);
    silent.send(MIB).await;
    tokio::time::sleep(3 * LINGERS + LINGERS / 2).await;
    assert_eq!(held(&budget), 1024, "there is room for it");
    // More than half of the budget is used now. The one that lingers goes first, which is enough.
    let mut slow = Upload::of(&budget);
    slow.send(3 * MIB + MIB / 4).await;
    let dribble = async |slow: &mut Upload| {
        for _ in 0..5 {
            tokio::time::sleep(LINGERS / 4).await;
            slow.send(1).await;
        }
    };
    dribble(&mut slow).await;
    assert_eq!(held(&budget), 3 * 1024 + 256);
    let mut small = Upload::of(&budget);
    small.send(1000).await;
    let others = budget.count(vec![0; MIB].into());
    dribble(&mut slow).await;
    assert_eq!(held(&budget), 1024);
    drop(others);
    silent.send(10).await;
    assert!(silent.end().await);
    assert!(slow.end().await);
    assert!(!small.end().await);
    assert_eq!(budget.held(), 0);
}

/// What was gathered for their files would have filled memory, a batch of each.
#[tokio::test(start_paused = true)]
async fn what_is_gathered_for_a_file_is_little_where_memory_is_needed() {
    let budget = Budget::new(Some(MIB as u64));
    let begin = || Upload::begin(within(&budget), Some(1 << 40), "");
    let mut silent = [begin(), begin()];
    for upload in &mut silent {
        upload.send(200 * KIB).await;
    }
    let others = budget.count(vec![0; 300 * KIB].into());
    let mut next = begin();
    next.send(100 * KIB).await;
    until(|| budget.held() == 700 * KIB as u64).await;
    tokio::time::sleep(LINGERS + LINGERS / 2).await;
    // One of the two was enough.
    assert_eq!(budget.held(), 500 * KIB as u64);
    drop(others);
    for mut upload in silent.into_iter().chain([next]) {
        upload.send(10).await;
        assert!(upload.end().await);
    }
    assert_eq!(budget.held(), 0);
}

/// A thousand of them, none large, kept all others from memory, a body of a hundred bytes as well.
#[tokio::test(start_paused = true)]
async fn smaller_ones_that_linger_leave_the_last_quarter_to_others() {
    let budget = Budget::new(Some(MIB as u64));
    let mut silent: Vec<_> = (0..17).map(|_| Upload::of(&budget)).collect();
    for upload in &mut silent {
        upload.send(60 * KIB).await;
    }
    let others = budget.count(vec![0; 100 * KIB].into());
    assert!(budget.is_over());
    let mut tiny = Upload::of(&budget);
    tiny.send(100).await;
    assert!(!tiny.end().await);
    drop(others);
    tokio::time::sleep(2 * LINGERS).await;
    assert_eq!(budget.held(), 12 * 60 * KIB as u64, "no more than needed have gone");
    for upload in silent {
        upload.end().await;
    }
    assert_eq!((budget.held(), budget.of_requests()), (0, 0));
}

/// A piece of one byte was a write of its own.
#[tokio::test]
async fn what_is_over_the_budget_is_not_written_byte_by_byte() {
    let budget = Budget::new(Some(MIB as u64));
    let others = budget.count(vec![0; MIB + 1].into());
    let (mut upload, before) = (Upload::of(&budget), budget.held());
    for sent in 1..TINY {
        upload.send(1).await;
        assert_eq!(budget.held() - before, sent);
    }
    upload.send(1).await;
    until(|| budget.held() == before).await;
    upload.send(1).await;
    assert_eq!(budget.held() - before, 1);
    // By far too much: now it is.
    let more = budget.count(vec![0; MIB / 4].into());
    let mut tiny = Upload::of(&budget);
    tiny.send(1).await;
    assert!(tiny.end().await);
    assert!(upload.end().await);
    drop((others, more));
}

#[tokio::test]
async fn small_bodies_find_room_as_long_as_there_is_any() {
    let budget = Budget::new(Some(MIB as u64));
    let others = budget.count(vec![0; MIB - 10 * KIB].into());
    for _ in 0..3 {
        let mut small = Upload::of(&budget);
        small.send(5 * KIB).await;
        assert!(!small.end().await);
    }
    let mut larger = Upload::of(&budget);
    larger.send(9 * KIB).await;
    larger.send(9 * KIB).await;
    assert!(larger.end().await);
    drop(others);
}

#[tokio::test]
async fn what_a_client_has_sent_leaves_memory_when_it_goes() {
    let budget = Budget::new(Some(8 * MIB as u64));
    let mut upload = Upload::of(&budget);
    upload.send(MIB).await;
    assert_eq!(budget.held(), MIB as u64);
    upload.received.abort();
    assert!(upload.received.await.unwrap_err().is_cancelled());
    assert_eq!(budget.held(), 0);
}

/// The bytes were on their way to a disk that took nothing, and no longer counted: clients that sent and reset filled memory.
#[test]
fn what_is_being_written_counts_although_its_client_has_gone() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let (disk, waits) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || waits.recv());
        let budget = Budget::new(Some(4 * MIB as u64));
        let mut upload = Upload::of(&budget);
        upload.send(3 * MIB).await;
        upload.received.abort();
        assert!(upload.received.await.unwrap_err().is_cancelled());
        assert_eq!((budget.held(), budget.of_requests()), (3 * MIB as u64, 3 * MIB as u64));
        drop(disk);
        until(|| budget.held() == 0).await;
        assert!(busy.await.unwrap().is_err());
    });
}

/// One client took all the memory for as long as it liked, and the others were refused.
#[tokio::test(start_paused = true)]
async fn where_no_file_can_be_made_a_body_that_lingers_and_takes_the_last_of_the_memory_is_refused() {
    let budget = Budget::new(Some(4 * MIB as u64));
    let mut silent = Upload::begin(within(&budget), None, "/nonexistent");
    for _ in 0..3 {
        silent.send(MIB).await;
    }
    tokio::time::sleep(3 * LINGERS).await;
    assert_eq!(budget.held(), 3 * MIB as u64, "a quarter is left to others");
    silent.send(MIB / 2).await;
    tokio::time::sleep(2 * LINGERS).await;
    assert_eq!(silent.received.await.unwrap().unwrap_err(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(budget.held(), 0);
    let mut next = Upload::begin(within(&budget), None, "/nonexistent");
    next.send(MIB).await;
    assert!(!next.end().await);
}

/// A container without a writable directory took no body above 112 KiB.
#[tokio::test]
async fn where_no_file_can_be_made_a_body_stays_in_memory_while_there_is_room() {
    let budget = Budget::new(Some(4 * MIB as u64));
    let mut upload = Upload::begin(within(&budget), None, "/nonexistent");
    for _ in 0..39 {
        upload.send(100 * KIB).await;
    }
    let others = budget.count(vec![0; 50 * KIB].into());
    upload.send(100).await;
    drop(others);
    assert!(!upload.end().await);
    let mut upload = Upload::begin(within(&budget), None, "/nonexistent");
    let (sender, received) = (
        upload.sender.clone(),
        loop {
            upload.send(MIB).await;
            if upload.received.is_finished() || budget.held() > 5 * MIB as u64 {
                break upload.received;
            }
        },
    );
    drop(sender);
    assert_eq!(received.await.unwrap().unwrap_err(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(budget.held(), 0);
}

/// The operator's own limit is not stretched.
#[tokio::test]
async fn where_no_file_can_be_made_a_body_beyond_its_own_limit_is_refused() {
    for announced in [None, Some(20)] {
        let mut upload = Upload::begin(limits(10, None), announced, "/nonexistent");
        upload.send(20).await;
        drop(upload.sender);
        assert_eq!(upload.received.await.unwrap().unwrap_err(), StatusCode::INSUFFICIENT_STORAGE);
    }
}
