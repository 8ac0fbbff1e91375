//! Both sides of a streamed response body together.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use super::*;
use crate::{http::body::Aborted, sync::Parker};

async fn next(receiver: &mut BodyReceiver) -> Option<Result<Bytes, Aborted>> {
    poll_fn(|cx| receiver.poll_next(cx)).await
}

#[tokio::test]
async fn streams_chunks_in_order_and_ends_when_finished() {
    let (sender, mut receiver) = channel();
    let waker = Parker::new().unparker();
    sender.try_send("one".into(), &waker).unwrap();
    sender.try_send("two".into(), &waker).unwrap();
    sender.finish();
    assert_eq!(next(&mut receiver).await.unwrap().unwrap(), "one");
    assert_eq!(next(&mut receiver).await.unwrap().unwrap(), "two");
    assert!(next(&mut receiver).await.is_none());
}

#[tokio::test]
async fn trailers_are_there_behind_the_last_chunk() {
    let (sender, mut receiver) = channel();
    sender.try_send("one".into(), &Parker::new().unparker()).unwrap();
    sender.finish_with_trailers(HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), "1".parse().unwrap())]));
    assert!(receiver.take_trailers().is_none());
    assert_eq!(next(&mut receiver).await.unwrap().unwrap(), "one");
    assert!(next(&mut receiver).await.is_none());
    assert_eq!(receiver.take_trailers().unwrap()["x-sum"], "1");
    assert!(next(&mut receiver).await.is_none() && receiver.take_trailers().is_none());
}

#[tokio::test]
async fn a_sender_dropped_unfinished_aborts() {
    let (sender, mut receiver) = channel();
    sender.try_send("half".into(), &Parker::new().unparker()).unwrap();
    drop(sender);
    assert_eq!(next(&mut receiver).await.unwrap().unwrap(), "half");
    assert!(next(&mut receiver).await.unwrap().is_err());
}

#[tokio::test]
async fn a_slow_reader_holds_the_sender_back_and_wakes_it() {
    let (sender, mut receiver) = channel();
    let parker = Parker::new();
    let chunk = Bytes::from(vec![0; STREAM_WINDOW / 2]);
    sender.try_send(chunk.clone(), &parker.unparker()).unwrap();
    sender.try_send(chunk.clone(), &parker.unparker()).unwrap();
    let full = sender.try_send(chunk.clone(), &parker.unparker());
    assert_eq!(full, Err(SendError::Full(chunk.clone())));
    next(&mut receiver).await.unwrap().unwrap();
    parker.park();
    sender.try_send(chunk, &parker.unparker()).unwrap();
}

#[tokio::test]
async fn a_chunk_larger_than_the_window_passes_alone() {
    let (sender, _receiver) = channel();
    let waker = Parker::new().unparker();
    sender.try_send(Bytes::from(vec![0; 2 * STREAM_WINDOW]), &waker).unwrap();
    assert!(matches!(sender.try_send("x".into(), &waker), Err(SendError::Full(_))));
}

/// Of a response whose head waits, the app may still make another.
#[tokio::test]
async fn a_response_is_recalled_until_it_has_begun() {
    let waker = Parker::new().unparker();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let (sender, mut receiver) = channel();
    assert!(receiver.poll_start(&mut cx).is_pending());
    assert!(sender.recall());
    assert_eq!(receiver.poll_start(&mut cx), Poll::Ready(Start::Recalled));
    assert_eq!(sender.try_send("x".into(), &waker), Err(SendError::Gone));
    drop(sender);
    assert_eq!(receiver.start(), Start::Recalled);

    let (sender, mut receiver) = channel();
    sender.try_send("x".into(), &waker).unwrap();
    assert!(!sender.recall(), "what was yielded is on its way");
    drop(sender);
    assert_eq!(receiver.poll_start(&mut cx), Poll::Ready(Start::Begins));

    let (sender, mut receiver) = channel();
    sender.begin();
    assert_eq!(receiver.poll_start(&mut cx), Poll::Ready(Start::Begins));
    assert!(!sender.recall());

    let (sender, mut receiver) = channel();
    assert_eq!(receiver.start(), Start::Begins, "it has waited for long enough");
    assert!(!sender.recall());

    let (sender, mut receiver) = channel();
    drop(sender);
    assert_eq!(receiver.poll_start(&mut cx), Poll::Ready(Start::Failed));
}

#[test]
fn what_goes_past_the_declared_length_is_dropped_and_counted_within_bounds() {
    let waker = Parker::new().unparker();
    let (tell, told) = std::sync::mpsc::channel();
    let (sender, receiver) = channel();
    receiver.expect(3, move |length| tell.send(length).unwrap());
    sender.try_send("abc".into(), &waker).unwrap();
    receiver.satisfied();
    drop(receiver);
    sender.try_send("".into(), &waker).unwrap();
    sender.try_send("de".into(), &waker).unwrap();
    assert!(!sender.is_gone());
    sender.finish();
    assert_eq!(told.try_recv(), Ok(5));

    let (tell, told) = std::sync::mpsc::channel();
    let (sender, receiver) = channel();
    receiver.expect(0, move |length| tell.send(length).unwrap());
    receiver.satisfied();
    drop(receiver);
    let chunk = Bytes::from(vec![0; EXCESS as usize]);
    sender.try_send(chunk.clone(), &waker).unwrap();
    assert_eq!(sender.try_send(chunk, &waker), Err(SendError::TooLong));
    drop(sender);
    assert_eq!(told.try_recv(), Ok(2 * EXCESS));
}

#[test]
fn a_body_that_is_over_is_measured_whichever_side_learns_of_its_length_last() {
    for (text, wrong) in [("ab", Some(2)), ("abc", None)] {
        for finished_first in [true, false] {
            let (tell, told) = std::sync::mpsc::channel();
            let (sender, receiver) = channel();
            sender.try_send(text.into(), &Parker::new().unparker()).unwrap();
            let expect = || receiver.expect(3, move |length| tell.send(length).unwrap());
            if finished_first {
                sender.finish();
                expect();
            } else {
                expect();
                sender.finish();
            }
            assert_eq!(told.try_recv().ok(), wrong);
        }
    }
}

#[test]
fn a_reader_that_leaves_wakes_and_refuses_the_sender() {
    let (sender, receiver) = channel();
    let parker = Parker::new();
    let big = Bytes::from(vec![0; STREAM_WINDOW]);
    sender.try_send(big.clone(), &parker.unparker()).unwrap();
    assert!(matches!(sender.try_send(big, &parker.unparker()), Err(SendError::Full(_))));
    drop(receiver);
    parker.park();
    assert!(sender.is_gone());
    assert_eq!(sender.try_send("x".into(), &parker.unparker()), Err(SendError::Gone));
}
