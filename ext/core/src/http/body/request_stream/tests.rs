//! Bodies that the app reads while they arrive, without a connection.

use super::*;
use crate::sync::Parker;
use http_body_util::Full;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;

fn terms() -> BodyLimits {
    BodyLimits::unlimited()
}

/// A body whose pieces the test sends; without them it waits.
fn scripted() -> (mpsc::UnboundedSender<Bytes>, impl Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static) {
    let (sender, mut pieces) = mpsc::unbounded_channel();
    let body = Polled(move |cx: &mut std::task::Context<'_>| {
        pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(http_body::Frame::data(piece))))
    });
    (sender, body)
}

struct Polled<F>(F);

impl<F> Body for Polled<F>
where
    F: FnMut(&mut std::task::Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> + Unpin,
{
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        (self.0)(cx)
    }
}

async fn next(stream: &RequestStream) -> NextPiece {
    let parker = Parker::new();
    loop {
        match stream.next(&parker.unparker()) {
            NextPiece::Nothing => tokio::task::yield_now().await,
            chunk => return chunk,
        }
    }
}

#[tokio::test]
async fn passes_pieces_on_as_they_come_and_ends_with_the_body() {
    let (sender, body) = scripted();
    let stream = RequestStream::of(body, terms(), false);
    sender.send("one".into()).unwrap();
    assert_eq!(next(&stream).await, NextPiece::Piece("one".into()));
    sender.send("two".into()).unwrap();
    drop(sender);
    assert_eq!(next(&stream).await, NextPiece::Piece("two".into()));
    assert_eq!(next(&stream).await, NextPiece::Whole);
}

#[tokio::test]
async fn what_comes_behind_the_body_is_there_once_that_is_read() {
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), "1".parse().unwrap())]);
    let body = http_body_util::BodyExt::with_trailers(Full::new(Bytes::from("one")), async { Some(Ok(trailers)) });
    let stream = RequestStream::of(http_body_util::BodyExt::boxed_unsync(body), terms(), false);
    assert!(stream.take_trailers().is_none());
    assert_eq!(next(&stream).await, NextPiece::Piece("one".into()));
    assert_eq!(next(&stream).await, NextPiece::Whole);
    assert_eq!(stream.take_trailers().unwrap()["x-sum"], "1");
}

#[tokio::test]
async fn holds_back_a_client_that_is_faster_than_the_app() {
    let (sender, body) = scripted();
    let stream = RequestStream::of(body, terms(), false);
    for _ in 0..10 {
        sender.send(vec![0; WINDOW / 2].into()).unwrap();
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(lock(&stream.0).bytes, WINDOW);
    drop(sender);
    let mut total = 0;
    while let NextPiece::Piece(piece) = next(&stream).await {
        total += piece.len();
    }
    assert_eq!(total, 5 * WINDOW);
}

#[tokio::test]
async fn asks_a_client_that_waits_to_be_asked_only_when_the_app_asks() {
    let (sender, body) = scripted();
    sender.send("x".into()).unwrap();
    let stream = RequestStream::of(body, terms(), true);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(lock(&stream.0).pieces.is_empty());
    assert_eq!(next(&stream).await, NextPiece::Piece("x".into()));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_does_not_look_whole() {
    let (_keep, body) = scripted();
    let stream = RequestStream::of(body, BodyLimits { body_timeout: Some(Duration::from_secs(3)), ..terms() }, false);
    let late = async {
        while stream.next(&Parker::new().unparker()) == NextPiece::Nothing {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        stream.next(&Parker::new().unparker())
    };
    assert_eq!(late.await, NextPiece::Broken(ReadError::Late));
    let terms = BodyLimits { http_content_length_limit: Some(5), ..terms() };
    let stream = RequestStream::of(Full::new(Bytes::from("abcdef")), terms, false);
    assert_eq!(next(&stream).await, NextPiece::Broken(ReadError::TooLong));
}

/// A fast client was cut off, with the time for its whole request, by an app that took longer than that to read.
#[tokio::test(start_paused = true)]
async fn the_time_for_the_request_does_not_run_while_the_app_is_behind() {
    let (sender, body) = scripted();
    let receive_deadline = Some(crate::sync::now() + Duration::from_secs(2));
    let stream = RequestStream::of(body, BodyLimits { receive_deadline, ..terms() }, false);
    for _ in 0..10 {
        sender.send(vec![0; WINDOW].into()).unwrap();
    }
    drop(sender);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(matches!(next(&stream).await, NextPiece::Piece(_)));
    }
    assert_eq!(next(&stream).await, NextPiece::Whole);
}

#[tokio::test]
async fn an_app_that_wants_no_more_ends_the_receiving() {
    let (sender, body) = scripted();
    drop(RequestStream::of(body, terms(), false));
    sender.closed().await;
}

/// Of two threads of an app that waited for the next piece, one waited for ever.
#[tokio::test]
async fn every_thread_that_waits_is_woken() {
    let (sender, body) = scripted();
    let stream = RequestStream::of(body, terms(), false);
    let parkers = [Parker::new(), Parker::new()];
    for parker in &parkers {
        assert_eq!(stream.next(&parker.unparker()), NextPiece::Nothing);
        assert_eq!(stream.next(&parker.unparker()), NextPiece::Nothing, "once more, woken by something else");
    }
    assert_eq!(lock(&stream.0).readers.len(), 2);
    sender.send("one".into()).unwrap();
    drop(sender);
    for parker in parkers {
        while !parker.park_timeout(Duration::ZERO) {
            tokio::task::yield_now().await;
        }
    }
}

/// A thread that an app left reading kept the stream of HTTP/2, and a drain, until body_timeout.
#[tokio::test]
async fn a_thread_that_waits_when_the_stream_is_closed_is_told_and_the_client_held_up_no_more() {
    let (sender, body) = scripted();
    let stream = RequestStream::of(body, terms(), false);
    let parker = Parker::new();
    assert_eq!(stream.next(&parker.unparker()), NextPiece::Nothing);
    stream.close();
    assert!(parker.park_timeout(Duration::ZERO), "it was not woken");
    assert_eq!(stream.next(&parker.unparker()), NextPiece::Closed);
    sender.closed().await;
}
