//! Messages with sockets, over real pairs: what arrives, what does not fit, what is no message.

use super::*;
use rustix::net::{SendAncillaryBuffer, send};
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
};

fn handover() -> Handover {
    Handover::create(2, None).unwrap()
}

const FOR_REQUEST: Traits =
    Traits { fresh: false, for_request: true, one_shot: false, opens: false, question: false, requests: 0 };

#[test]
fn a_socket_arrives_with_what_was_read_ahead_and_stays_open_all_the_way() {
    let handover = handover();
    let inbox = handover.inbox(1);
    let (mut client, socket) = UnixStream::pair().unwrap();
    for traits in [
        FOR_REQUEST,
        Traits { fresh: true, for_request: false, one_shot: true, opens: true, question: false, requests: 258 },
        Traits::default(),
    ] {
        assert!(!inbox.holds_messages());
        inbox.send(socket.as_fd(), traits, b"GET / HT").unwrap();
        assert!(inbox.holds_messages() || cfg!(not(target_os = "linux")));
        let message = inbox.receive().unwrap();
        assert_eq!((message.traits, &message.read_ahead[..]), (traits, &b"GET / HT"[..]));
        assert!(rustix::io::fcntl_getfd(&message.socket).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        UnixStream::from(message.socket).write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    inbox.send(socket.as_fd(), FOR_REQUEST, b"").unwrap();
    drop(socket);
    client.write_all(b"y").unwrap();
    let mut socket = UnixStream::from(inbox.receive().unwrap().socket);
    let mut byte = [0];
    socket.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"y", "its sender has closed it meanwhile");
    assert_eq!(inbox.receive().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// A worker of an earlier release sends no number of requests, and reads a connection of this one where these are not limited.
#[test]
fn the_form_of_earlier_releases_is_read_and_sent() {
    let handover = handover();
    let inbox = handover.inbox(0);
    let (_client, socket) = UnixStream::pair().unwrap();
    for (requests, length) in [(0, 5), (1, 9)] {
        inbox.send(socket.as_fd(), Traits { requests, ..FOR_REQUEST }, b"GET").unwrap();
        let mut raw = [0; 16];
        let (received, _) = rustix::net::recv(inbox.reader(), &mut raw[..], RecvFlags::empty()).unwrap();
        assert_eq!((received, raw[0]), (length, if requests == 0 { 1 } else { 2 }));
    }
}

#[test]
fn a_full_inbox_says_so_and_takes_more_when_it_is_emptied() {
    let handover = handover();
    let (inbox, (_client, socket)) = (handover.inbox(0), UnixStream::pair().unwrap());
    let fill = || {
        (0..100_000).map(|_| inbox.send(socket.as_fd(), FOR_REQUEST, &[b'x'; MAX_READ_AHEAD])).position(|sent| {
            sent.is_err_and(|error| {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                true
            })
        })
    };
    let fitted = fill().unwrap();
    assert!(fitted > 4 && !inbox.has_room(), "{fitted} fitted");
    for _ in 0..fitted {
        assert_eq!(inbox.receive().unwrap().read_ahead.len(), MAX_READ_AHEAD);
    }
    assert!(inbox.has_room());
    assert_eq!(fill(), Some(fitted));
}

#[test]
fn more_than_fits_into_a_message_is_not_sent() {
    let handover = handover();
    let (_client, socket) = UnixStream::pair().unwrap();
    let error = handover.adoption().send(socket.as_fd(), FOR_REQUEST, &[0; MAX_READ_AHEAD + 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(handover.adoption().receive().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// What no worker of this release sends brings no socket in, and the next message is read all the same.
#[test]
fn what_is_no_message_closes_what_it_brought() {
    let handover = handover();
    let inbox = handover.inbox(0);
    let (mut client, socket) = UnixStream::pair().unwrap();
    send(inbox.writer(), &[VERSION, 0], SendFlags::empty()).unwrap();
    for (count, bytes) in [
        (1, &[VERSION][..]),
        (2, &[VERSION, 0]),
        (1, &[COUNTED_VERSION, 0, 1, 0, 0]),
        (1, &[COUNTED_VERSION + 1; 9]),
        (1, &[VERSION; MAX_READ_AHEAD + 3]),
    ] {
        let sockets = [socket.as_fd(), socket.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&sockets[..count])));
        sendmsg(inbox.writer(), &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
    }
    drop(socket);
    for _ in 0..6 {
        assert_eq!(inbox.receive().unwrap_err().kind(), ErrorKind::InvalidData);
    }
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "no copy is left open");
    let (_client, socket) = UnixStream::pair().unwrap();
    inbox.send(socket.as_fd(), FOR_REQUEST, b"").unwrap();
    assert_eq!(inbox.receive().unwrap().traits, FOR_REQUEST);
}

#[test]
fn what_waits_for_a_worker_that_is_gone_goes_to_the_others() {
    let handover = handover();
    let inbox = handover.inbox(1);
    let (mut client, socket) = UnixStream::pair().unwrap();
    inbox.send(socket.as_fd(), FOR_REQUEST, b"GET").unwrap();
    send(inbox.writer(), b"no message", SendFlags::empty()).unwrap();
    inbox.send(socket.as_fd(), FOR_REQUEST, b"PUT").unwrap();
    drop(socket);
    handover.pass_on(1);
    assert_eq!(inbox.receive().unwrap_err().kind(), ErrorKind::WouldBlock);
    for expected in [b"GET", b"PUT"] {
        let message = handover.adoption().receive().unwrap();
        assert_eq!((message.traits, &message.read_ahead[..]), (FOR_REQUEST, &expected[..]));
        UnixStream::from(message.socket).write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn what_the_others_have_no_room_for_stays_in_the_inbox() {
    let handover = handover();
    let (_client, socket) = UnixStream::pair().unwrap();
    while handover.adoption().send(socket.as_fd(), FOR_REQUEST, b"").is_ok() {}
    handover.inbox(0).send(socket.as_fd(), FOR_REQUEST, b"GET").unwrap();
    handover.pass_on(0);
    assert_eq!(handover.inbox(0).receive().unwrap().read_ahead, b"GET");
}
