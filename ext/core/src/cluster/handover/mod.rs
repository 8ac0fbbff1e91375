//! Connections that go from one worker to another: a message is a socket with the bytes that were read ahead from it.
//!
//! A worker has an *inbox*, which its siblings write to when it is idle and they are not, or has less to do. All workers share the
//! *adoption queue*, into which a worker that leaves puts its connections. Both are pairs of sockets without a name, made before the
//! first fork, so that no other process can write to them. Nothing here waits: full is an error ([`io::ErrorKind::WouldBlock`]), and the
//! sender keeps the connection. A message outlives its sender and the worker that it was for, because all processes of the cluster hold both ends.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

#[cfg(target_os = "linux")]
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
};

use crate::sys;

/// The form of a message. A worker of the next release may read what one of this release has sent.
const VERSION: u8 = 1;

/// The form in which the number of requests is ahead of what was read ahead. Sent only where requests are counted.
const COUNTED_VERSION: u8 = 2;

/// Most bytes read ahead that go along. A connection that holds more stays where it is.
pub(crate) const MAX_READ_AHEAD: usize = 8192;

const HEADER: usize = 2;

/// The bytes of the number of requests.
const COUNT: usize = size_of::<u32>();

/// Nothing that is sent between the processes of a cluster is waited for, and none of them ends because its peer has.
#[cfg(target_os = "linux")]
pub(crate) const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
#[cfg(not(target_os = "linux"))]
pub(crate) const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT;

/// What the receiver has to know of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// It has had no request yet.
    pub(crate) fresh: bool,
    /// It is handed over for its next request: the receiver keeps it until that is answered.
    pub(crate) for_request: bool,
    /// Its next response says `close`.
    pub(crate) one_shot: bool,
    /// Nothing was read from it, and HTTP does not come first: the place of its listener among all is what comes along as read ahead.
    pub(crate) opens: bool,
    /// It is none: the socket is for the reply to a question, and the question is what was read ahead.
    pub(crate) question: bool,
    /// How many requests it has had, where that is limited.
    pub(crate) requests: u32,
}

impl Traits {
    const FRESH: u8 = 1;
    const FOR_REQUEST: u8 = 2;
    const ONE_SHOT: u8 = 4;
    const QUESTION: u8 = 8;
    const OPENS: u8 = 16;

    fn to_byte(self) -> u8 {
        let bit = |is: bool, bit: u8| if is { bit } else { 0 };
        bit(self.fresh, Self::FRESH)
            | bit(self.for_request, Self::FOR_REQUEST)
            | bit(self.one_shot, Self::ONE_SHOT)
            | bit(self.question, Self::QUESTION)
            | bit(self.opens, Self::OPENS)
    }

    fn of_byte(byte: u8, requests: u32) -> Self {
        let has = |bit| byte & bit != 0;
        Self {
            fresh: has(Self::FRESH),
            for_request: has(Self::FOR_REQUEST),
            one_shot: has(Self::ONE_SHOT),
            question: has(Self::QUESTION),
            opens: has(Self::OPENS),
            requests,
        }
    }
}

/// A connection on its way.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) socket: OwnedFd,
    pub(crate) traits: Traits,
    /// What was read from it and is not served.
    pub(crate) read_ahead: Vec<u8>,
}

/// The inboxes and the adoption queue of a cluster.
#[derive(Debug)]
pub(crate) struct Handover {
    inboxes: Vec<Mailbox>,
    adoption: Mailbox,
}

impl Handover {
    /// For so many slots. `adoption` has the ends of the queue that the process's image before this one has left behind.
    ///
    /// # Errors
    ///
    /// When the system has no descriptors left.
    pub(crate) fn create(slots: usize, adoption: Option<(OwnedFd, OwnedFd)>) -> io::Result<Self> {
        let inboxes = (0..slots).map(|_| Mailbox::create()).collect::<io::Result<_>>()?;
        let adoption = match adoption {
            Some((reader, writer)) => Mailbox { reader, writer },
            None => Mailbox::create()?,
        };
        Ok(Self { inboxes, adoption })
    }

    /// The inbox of the worker in that slot, which is one of the cluster's.
    pub(crate) fn inbox(&self, slot: usize) -> &Mailbox {
        &self.inboxes[slot]
    }

    /// Where a worker that leaves puts its connections.
    pub(crate) fn adoption(&self) -> &Mailbox {
        &self.adoption
    }

    /// The worker in that slot is gone: what waits in its inbox goes to the others. What they have no room for stays, for the next
    /// worker in the slot.
    pub(crate) fn pass_on(&self, slot: usize) {
        let inbox = self.inbox(slot);
        while self.adoption.has_room() {
            match inbox.receive() {
                Ok(message) => {
                    // For all others that are alive: the first to look takes it. A queue that is full all the same ends the
                    // connection, as the death of its worker does those that it served.
                    let _ = self.adoption.send(message.socket.as_fd(), message.traits, &message.read_ahead);
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(_) => return,
            }
        }
    }
}

/// Two ends of a queue of messages.
#[derive(Debug)]
pub(crate) struct Mailbox {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Mailbox {
    fn create() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        let (reader, writer) = {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?
        };
        #[cfg(not(target_os = "linux"))]
        let (reader, writer) = {
            let (reader, writer) = std::os::unix::net::UnixDatagram::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            (reader.into(), writer.into())
        };
        Ok(Self { reader, writer })
    }

    /// The end that tells when there is something to [`receive`](Self::receive).
    pub(crate) fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// The end that tells when there is room to [`send`](Self::send).
    pub(crate) fn writer(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }

    /// Sends a connection. The sender still has its own descriptor, and closes it once this has succeeded.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is no room, `InvalidInput` when more was read ahead than fits into a message.
    pub(crate) fn send(&self, socket: BorrowedFd<'_>, traits: Traits, read_ahead: &[u8]) -> io::Result<()> {
        if read_ahead.len() > MAX_READ_AHEAD {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let sockets = [socket];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let count = traits.requests.to_le_bytes();
        let (version, count) = if traits.requests == 0 { (VERSION, &[][..]) } else { (COUNTED_VERSION, &count[..]) };
        let header = [version, traits.to_byte()];
        let parts = [IoSlice::new(&header), IoSlice::new(count), IoSlice::new(read_ahead)];
        match sendmsg(&self.writer, &parts, &mut control, SEND_FLAGS) {
            Ok(_) => Ok(()),
            // Too many sockets of this user are on their way, or the system is short of memory.
            Err(Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the next message.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is none; `InvalidData` for one that is none, which is closed, and the next may be there; another
    /// where the process has no descriptor left, and the message stays.
    pub(crate) fn receive(&self) -> io::Result<Message> {
        // The kernel drops a socket that there is no descriptor for.
        drop(self.reader.try_clone()?);
        let mut header = [0; HEADER];
        let mut bytes = [0; COUNT + MAX_READ_AHEAD];
        let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(&mut bytes)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        // Descriptors that are not taken out of it are closed with it.
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = receive_message(&self.reader, &mut parts, &mut control)?;
        let mut sockets = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                sockets.extend(descriptors);
            }
        }
        let whole = !received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) && received.bytes >= HEADER;
        let content = bytes.get(..received.bytes.saturating_sub(HEADER)).unwrap_or_default();
        let content = match header[0] {
            VERSION => Some((0, content)),
            COUNTED_VERSION => content.split_first_chunk().map(|(count, rest)| (u32::from_le_bytes(*count), rest)),
            _ => None,
        };
        match (sockets.pop(), content) {
            (Some(socket), Some((requests, read_ahead)))
                if whole && sockets.is_empty() && read_ahead.len() <= MAX_READ_AHEAD =>
            {
                Ok(Message { socket, traits: Traits::of_byte(header[1], requests), read_ahead: read_ahead.to_vec() })
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Whether a message would fit. Another sender may take the room.
    fn has_room(&self) -> bool {
        let mut writer = [PollFd::new(&self.writer, PollFlags::OUT)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut writer, Some(&at_once)).is_ok_and(|ready| ready > 0)
    }

    /// Whether messages wait that no receiver has taken yet.
    pub(crate) fn holds_messages(&self) -> bool {
        sys::undelivered_bytes(self.writer.as_fd()).is_ok_and(|bytes| bytes > 0)
    }
}

fn receive_message(
    reader: &OwnedFd,
    parts: &mut [IoSliceMut<'_>],
    control: &mut RecvAncillaryBuffer<'_>,
) -> io::Result<rustix::net::RecvMsg> {
    #[cfg(target_os = "linux")]
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = RecvFlags::DONTWAIT;
    loop {
        match recvmsg(reader, parts, control, flags) {
            Err(Errno::INTR) => {}
            received => return Ok(received?),
        }
    }
}

#[cfg(test)]
mod tests;
