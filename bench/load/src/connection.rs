//! One socket and the request on it. Knows neither the time nor what the others do.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustls::ClientConfig;

use crate::response::{Response, Whole};
use crate::stream::Stream;
use crate::tally::Failure;

/// A connection of a group. Closed at first and after an error; the next request opens it again.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) group: usize,
    /// What it asks or was last to ask, among the kinds of its group.
    pub(crate) kind: usize,
    stream: Option<Stream>,
    /// How it encrypts, if it does.
    tls: Option<Arc<ClientConfig>>,
    /// How many sockets there have been: events of an earlier one are not for this one.
    generation: u32,
    asking: Option<Asking>,
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(crate) struct Asking {
    /// When it was meant to be sent, and when it was.
    pub(crate) due: Instant,
    pub(crate) begun: Instant,
    sent: usize,
    response: Response,
}

/// What has become of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answered(Asking, Whole),
    Failed(Asking, Failure),
}

impl Connection {
    pub(crate) fn new(group: usize, tls: Option<Arc<ClientConfig>>) -> Connection {
        Connection { group, kind: 0, stream: None, tls, generation: 0, asking: None }
    }

    pub(crate) fn asking(&self) -> Option<&Asking> {
        self.asking.as_ref()
    }

    /// Sends as much of the request as goes; the rest follows when the socket is writable.
    pub(crate) fn ask(
        &mut self,
        number: usize,
        request: &[u8],
        address: SocketAddr,
        epoll: &OwnedFd,
        due: Instant,
    ) -> Option<Outcome> {
        self.asking = Some(Asking { due, begun: Instant::now(), sent: 0, response: Response::default() });
        if self.stream.is_none() && self.open(number, address, epoll).is_err() {
            return self.fail(Failure::Connect);
        }
        self.write(request)
    }

    /// What an event on the socket means; `received` is called with the size of each piece.
    pub(crate) fn handle(
        &mut self,
        event: EventFlags,
        generation: u32,
        request: &[u8],
        scratch: &mut [u8],
        received: &mut dyn FnMut(usize),
    ) -> Option<Outcome> {
        if generation != self.generation || self.stream.is_none() {
            return None;
        }
        if self.asking.is_none() {
            // The server has closed an idle connection, or sends what no request asked for.
            if event.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
                self.stream = None;
            }
            return None;
        }
        // What comes in may be what a handshake waits for.
        let unsent = self.asking.as_ref().is_some_and(|asking| asking.sent < request.len());
        if (event.contains(EventFlags::OUT) || unsent)
            && let Some(outcome) = self.write(request)
        {
            return Some(outcome);
        }
        if !event.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            return None;
        }
        let outcome = self.read(scratch, received);
        if event.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) && outcome.is_some() {
            self.stream = None;
        }
        outcome
    }

    /// Ends the request, and the connection with it.
    pub(crate) fn fail(&mut self, why: Failure) -> Option<Outcome> {
        self.stream = None;
        self.asking.take().map(|asking| Outcome::Failed(asking, why))
    }

    /// The next request needs a new connection.
    pub(crate) fn close(&mut self) {
        self.stream = None;
    }

    fn open(&mut self, number: usize, address: SocketAddr, epoll: &OwnedFd) -> std::io::Result<()> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        self.generation = self.generation.wrapping_add(1);
        let data = EventData::new_u64(u64::from(self.generation) << 32 | number as u64);
        let events = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(epoll, &socket, data, events)?;
        self.stream = Some(Stream::new(TcpStream::from(socket), self.tls.as_ref())?);
        Ok(())
    }

    fn write(&mut self, request: &[u8]) -> Option<Outcome> {
        let (Some(stream), Some(asking)) = (&mut self.stream, &mut self.asking) else { return None };
        while asking.sent < request.len() {
            match stream.write(&request[asking.sent..]) {
                Ok(count) => asking.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                // A server may answer and close before it has read everything: what it said is still to be read.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return None,
                Err(error) => return self.fail(why(&error)),
            }
        }
        None
    }

    fn read(&mut self, scratch: &mut [u8], received: &mut dyn FnMut(usize)) -> Option<Outcome> {
        let (Some(stream), Some(asking)) = (&mut self.stream, &mut self.asking) else { return None };
        loop {
            let whole = match stream.read(scratch) {
                Ok(0) => match asking.response.end() {
                    Some(whole) => Ok(Some(whole)),
                    None => return self.fail(Failure::Closed),
                },
                Ok(count) => {
                    received(count);
                    asking.response.feed(&scratch[..count])
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => return self.fail(why(&error)),
            };
            match whole {
                Ok(Some(whole)) => return self.asking.take().map(|asking| Outcome::Answered(asking, whole)),
                Ok(None) => {}
                Err(_) => return self.fail(Failure::Malformed),
            }
        }
    }
}

fn why(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::ConnectionReset
        | ErrorKind::BrokenPipe
        | ErrorKind::ConnectionAborted
        | ErrorKind::UnexpectedEof => Failure::Closed,
        _ => Failure::Connect,
    }
}
