//! A listener: bound before the app boots, listening when it can serve, and closed in two stages so that no
//! connection is lost. Knows sockets; knows nothing of HTTP.

pub(crate) mod socket_file;

use std::{
    io,
    net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    os::{
        self,
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    },
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::Instant,
};

use self::socket_file::SocketFile;
use crate::{
    config::{Address, Inherited},
    connection::Opening,
    error::Error,
    http::request::Peer,
    lifecycle::plan::SETTLE_MAX,
    sys,
    tls::Tls,
};

/// How many more ports are tried, where any will do, before a name counts as one whose address is in use.
const OTHER_PORTS: usize = 8;

/// The least time in which handshakes under way are let complete, once new ones are refused.
const SETTLE_MIN: Duration = Duration::from_millis(100);
/// How long to go on trying to empty a queue when this process has no descriptors left, and how often.
const EMPTYING_MAX: Duration = Duration::from_secs(5);
const EMPTYING_PAUSE: Duration = Duration::from_millis(10);
/// The most connections to take out of a queue, which systems do not let be longer: a socket that goes on listening may be filled
/// as fast as it is emptied.
const EMPTYING_MOST: usize = 65_536;

// ===== bound =====

/// A socket with its address, on which nothing can connect yet: a busy port shows before the app boots, and no
/// client waits while it does.
#[derive(Debug)]
pub(crate) struct Bound {
    socket: Socket,
    bound_address: BoundAddress,
    backlog: i32,
    /// As it was configured.
    configured: Address,
    /// What comes before HTTP, where anything does.
    opening: Option<Arc<Opening>>,
}

#[derive(Debug)]
enum BoundAddress {
    Tcp(Local),
    Unix(SocketFile),
}

/// Where a TCP listener listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    address: SocketAddr,
    /// The socket goes on listening after this process, and so is never [unlistened](sys::unlisten).
    outlives_us: bool,
}

impl Bound {
    /// The sockets of `address` among those that were `inherited`; where there are none, binds.
    pub(crate) fn open(address: &Address, inherited: &[Inherited]) -> Result<Vec<Self>, Error> {
        let mut bound = Vec::new();
        for inherited in inherited.iter().filter(|inherited| inherited.is_of(address)) {
            bound.push(Self::inherited(address, inherited)?);
        }
        if bound.is_empty() {
            bound = Self::bind(address)?;
        }
        let opening = Opening::of(address.wire())?;
        bound.iter_mut().for_each(|bound| bound.opening.clone_from(&opening));
        Ok(bound)
    }

    fn inherited(address: &Address, inherited: &Inherited) -> Result<Self, Error> {
        let &Inherited { descriptor, outlives_us, .. } = inherited;
        let failed = |cause| {
            Error::bind_refused(address, format_args!("the descriptor {descriptor} that was passed for it: {cause}"))
        };
        let wrong = || failed(io::Error::other("it is no such socket"));
        let socket = Socket::from(sys::duplicate(descriptor).map_err(failed)?);
        let local = socket.local_addr().map_err(failed)?;
        if socket.r#type().map_err(failed)? != Type::STREAM {
            return Err(wrong());
        }
        socket.set_nonblocking(true).map_err(failed)?;
        let (bound_address, backlog) = match address {
            Address::Tcp { backlog, .. } => {
                socket.set_tcp_nodelay(true).map_err(|_| wrong())?;
                let address = local.as_socket().ok_or_else(wrong)?;
                (BoundAddress::Tcp(Local { address, outlives_us }), *backlog)
            }
            Address::Unix { path, backlog, .. } if local.is_unix() => {
                (BoundAddress::Unix(SocketFile::inherited(address, path, outlives_us)), *backlog)
            }
            Address::Unix { .. } => return Err(wrong()),
        };
        // The length of the queue was set by what keeps it, and can't be asked for: the system's own bound stays.
        let backlog = if outlives_us { i32::MAX } else { backlog };
        Ok(Self { socket, bound_address, backlog, configured: address.clone(), opening: None })
    }

    /// What another process needs to inherit the socket.
    pub(crate) fn inheritance(&self) -> Inherited {
        let outlives_us = match &self.bound_address {
            BoundAddress::Tcp(local) => local.outlives_us,
            BoundAddress::Unix(file) => file.is_kept_by_another(),
        };
        Inherited { address: self.configured.clone(), descriptor: self.socket.as_raw_fd(), outlives_us }
    }

    /// Binds all that `address` names: `localhost` is one address per IP version.
    pub(crate) fn bind(address: &Address) -> Result<Vec<Self>, Error> {
        match address {
            Address::Tcp { host, port, backlog, .. } => bind_tcp(address, host, *port, *backlog),
            Address::Unix { path, mode, backlog, .. } => {
                let (socket, file) = SocketFile::bind(address, path, *mode)?;
                let bound_address = BoundAddress::Unix(file);
                let (backlog, configured) = (*backlog, address.clone());
                Ok(vec![Self { socket, bound_address, backlog, configured, opening: None }])
            }
        }
    }

    /// The address as a client writes it, with the port the kernel chose.
    pub(crate) fn address(&self) -> String {
        match &self.bound_address {
            BoundAddress::Tcp(local) if self.is_encrypted() => format!("ssl://{}", local.address),
            BoundAddress::Tcp(local) => format!("tcp://{}", local.address),
            BoundAddress::Unix(file) => format!("unix://{}", file.path().display()),
        }
    }

    /// What comes before HTTP, where anything does.
    pub(crate) fn opening(&self) -> Option<Arc<Opening>> {
        self.opening.clone()
    }

    /// What its connections are encrypted with, where they are.
    pub(super) fn tls(&self) -> Option<&Arc<Tls>> {
        self.opening.as_ref()?.tls()
    }

    fn is_encrypted(&self) -> bool {
        self.configured.wire().tls.is_some()
    }

    /// Several processes serve on the socket: dropping this leaves it to them.
    pub(crate) fn share(&mut self) {
        if let BoundAddress::Unix(file) = &mut self.bound_address {
            file.share();
        }
    }

    /// Removes a socket's file, once no process serves on the socket any more.
    pub(crate) fn remove(self) {
        if let BoundAddress::Unix(file) = self.bound_address {
            file.remove();
        }
    }

    /// Lets clients connect to a socket that is shared with other processes. Each of them may call this.
    pub(crate) fn listen_shared(mut self) -> Result<SharedListener, Error> {
        self.share();
        self.socket.listen(self.backlog).map_err(|cause| Error::bind(self.address(), cause))?;
        let socket = match self.bound_address {
            BoundAddress::Tcp(local) => SharedSocket::Tcp(self.socket.into(), local),
            BoundAddress::Unix(file) => SharedSocket::Unix(self.socket.into(), file),
        };
        Ok(SharedListener { socket, opening: self.opening })
    }

    /// Another owner of the same socket, as a forked process is one.
    #[cfg(test)]
    pub(crate) fn twin(&self) -> Self {
        let bound_address = match &self.bound_address {
            BoundAddress::Tcp(local) => BoundAddress::Tcp(*local),
            BoundAddress::Unix(file) => BoundAddress::Unix(file.twin()),
        };
        let (socket, configured) = (self.socket.try_clone().unwrap(), self.configured.clone());
        Self { socket, bound_address, backlog: self.backlog, configured, opening: self.opening.clone() }
    }

    /// Lets clients connect. Needs the runtime.
    pub(crate) fn listen(self) -> Result<Listener, Error> {
        let address = self.address();
        let failed = |cause| Error::bind(&address, cause);
        self.socket.listen(self.backlog).map_err(failed)?;
        let socket = match self.bound_address {
            BoundAddress::Tcp(local) => {
                let socket = TcpListener::from_std(self.socket.into()).map_err(failed)?;
                ListeningSocket::Tcp(socket, local)
            }
            BoundAddress::Unix(file) => {
                let socket = UnixListener::from_std(self.socket.into()).map_err(failed)?;
                ListeningSocket::Unix(socket, file)
            }
        };
        Ok(Listener { socket, opening: self.opening })
    }
}

/// Every address of the host's name. `localhost` is both loopback addresses, even where the machine's table of hosts names one of
/// them: a browser tries `::1` first.
fn addresses_of(address: &Address, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let resolved = (host, port)
        .to_socket_addrs()
        .map_err(|_| Error::bind_refused(address, format_args!("the host name {host:?} has no address")))?;
    let loopback =
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(|ip| SocketAddr::new(ip, port));
    let mut targets: Vec<SocketAddr> = Vec::new();
    for target in resolved.chain(loopback.into_iter().filter(|_| host == "localhost")) {
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Ok(targets)
}

fn bind_tcp(address: &Address, host: &str, port: u16, backlog: i32) -> Result<Vec<Bound>, Error> {
    let targets = addresses_of(address, host, port)?;
    let bind = || bind_all(address, host, &targets, backlog);
    // The port that the kernel chooses for the first address of a name may not be free on the next.
    if port == 0 && targets.len() > 1 { with_another_port(bind) } else { bind() }
}

/// Calls `bind`, and again where the port is in use.
fn with_another_port<T>(mut bind: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 0..OTHER_PORTS {
        match bind() {
            Err(error) if error.is_address_in_use() => {}
            bound => return bound,
        }
    }
    bind()
}

fn bind_all(address: &Address, host: &str, targets: &[SocketAddr], backlog: i32) -> Result<Vec<Bound>, Error> {
    let mut bound: Vec<Bound> = Vec::new();
    let mut failure = None;
    for mut target in targets.iter().copied() {
        // The second address of a name gets the port that was chosen for the first.
        if let Some(BoundAddress::Tcp(first)) = bound.first().map(|first| &first.bound_address) {
            target.set_port(first.address.port());
        }
        match bind_tcp_socket(target) {
            Ok((socket, local)) => {
                let bound_address = BoundAddress::Tcp(Local { address: local, outlives_us: false });
                bound.push(Bound { socket, bound_address, backlog, configured: address.clone(), opening: None });
            }
            Err(cause) if host == "localhost" && is_lacking(&cause) => failure = Some(cause),
            Err(cause) => return Err(Error::bind(address, cause)),
        }
    }
    match failure {
        Some(cause) if bound.is_empty() => Err(Error::bind(address, cause)),
        _ => Ok(bound),
    }
}

/// Whether the machine does not have such addresses: IPv6, switched off for its interfaces or left out of its kernel.
fn is_lacking(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::AddrNotAvailable
        || cause.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn bind_tcp_socket(target: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it, which saves a call for each.
    socket.set_tcp_nodelay(true)?;
    if target.is_ipv6() && target.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&target.into())?;
    let local = socket.local_addr()?.as_socket().unwrap_or(target);
    Ok((socket, local))
}

// ===== listening =====

/// A listening socket, with what comes before HTTP on its connections, where anything does.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: ListeningSocket,
    opening: Option<Arc<Opening>>,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener, Local),
    Unix(UnixListener, SocketFile),
}

/// A listening socket that other processes accept from too. Not of the runtime: a thread of its own waits for it.
#[derive(Debug)]
pub(crate) struct SharedListener {
    socket: SharedSocket,
    opening: Option<Arc<Opening>>,
}

#[derive(Debug)]
enum SharedSocket {
    Tcp(net::TcpListener, Local),
    Unix(os::unix::net::UnixListener, SocketFile),
}

impl SharedListener {
    /// Takes the next connection, or says that there is none. It does not wait, and the runtime does not know the connection yet.
    #[cfg(target_os = "linux")]
    pub(crate) fn accept(&self) -> io::Result<Newcomer> {
        // One call; the standard library needs another, to say that the socket is not to be waited for.
        let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
        let socket = match &self.socket {
            SharedSocket::Tcp(listener, local) => {
                let (socket, remote) = rustix::net::acceptfrom_with(listener, flags)?;
                let remote = remote.and_then(|remote| SocketAddr::try_from(remote).ok());
                // A client without an address has gone.
                NewSocket::Tcp(socket.into(), remote.ok_or(io::ErrorKind::ConnectionAborted)?, local.address)
            }
            SharedSocket::Unix(listener, _) => NewSocket::Unix(rustix::net::accept_with(listener, flags)?.into()),
        };
        Ok(Newcomer { socket, opening: self.opening.clone() })
    }

    /// The runtime waits for it from now on, to close it.
    pub(crate) fn into_listener(self) -> io::Result<Listener> {
        let socket = match self.socket {
            SharedSocket::Tcp(listener, local) => ListeningSocket::Tcp(TcpListener::from_std(listener)?, local),
            SharedSocket::Unix(listener, file) => ListeningSocket::Unix(UnixListener::from_std(listener)?, file),
        };
        Ok(Listener { socket, opening: self.opening })
    }
}

impl AsFd for SharedListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            SharedSocket::Tcp(listener, _) => listener.as_fd(),
            SharedSocket::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// A connection that the runtime does not know yet.
#[derive(Debug)]
pub(crate) struct Newcomer {
    socket: NewSocket,
    opening: Option<Arc<Opening>>,
}

#[derive(Debug)]
enum NewSocket {
    /// With the client's address and that of the listener.
    Tcp(net::TcpStream, SocketAddr, SocketAddr),
    Unix(os::unix::net::UnixStream),
}

impl Newcomer {
    /// A connection that a sibling has sent.
    pub(crate) fn of_descriptor(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        let local = socket.local_addr()?;
        if local.is_unix() {
            return Ok(Self { socket: NewSocket::Unix(socket.into()), opening: None });
        }
        let remote = socket.peer_addr()?.as_socket();
        let (local, remote) = local.as_socket().zip(remote).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { socket: NewSocket::Tcp(socket.into(), remote, local), opening: None })
    }

    /// Whether HTTP begins with its first byte.
    pub(crate) fn is_plain(&self) -> bool {
        self.opening.is_none()
    }

    /// Has the runtime wait for it.
    pub(crate) fn accepted(self) -> io::Result<Accepted> {
        let (socket, peer) = match self.socket {
            NewSocket::Tcp(socket, remote, local) => accepted(TcpStream::from_std(socket)?, remote, local),
            NewSocket::Unix(socket) => (AcceptedSocket::Unix(UnixStream::from_std(socket)?), Peer::unix()),
        };
        Ok(Accepted { socket, peer, opening: self.opening })
    }
}

impl AsFd for Newcomer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            NewSocket::Tcp(socket, ..) => socket.as_fd(),
            NewSocket::Unix(socket) => socket.as_fd(),
        }
    }
}

/// A connection, just accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: AcceptedSocket,
    pub(crate) peer: Peer,
    /// What comes before HTTP, where anything does.
    pub(crate) opening: Option<Arc<Opening>>,
}

/// Its socket.
#[derive(Debug)]
pub(crate) enum AcceptedSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Accepted {
    /// How long the client's handshake took; zero where there was none.
    pub(crate) fn round_trip(&self) -> Duration {
        match &self.socket {
            AcceptedSocket::Tcp(socket) => sys::round_trip(socket.as_fd()).unwrap_or_default(),
            AcceptedSocket::Unix(_) => Duration::ZERO,
        }
    }
}

fn accepted(socket: TcpStream, remote: SocketAddr, listening: SocketAddr) -> (AcceptedSocket, Peer) {
    // Our end is the listener's address, unless that listens on all.
    let local = if listening.ip().is_unspecified() { socket.local_addr().unwrap_or(listening) } else { listening };
    (AcceptedSocket::Tcp(socket), Peer::tcp(remote, local))
}

impl Listener {
    /// Waits for the next connection.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        let (socket, peer) = match &self.socket {
            ListeningSocket::Tcp(listener, local) => {
                let (socket, remote) = listener.accept().await?;
                accepted(socket, remote, local.address)
            }
            ListeningSocket::Unix(listener, _) => (AcceptedSocket::Unix(listener.accept().await?.0), Peer::unix()),
        };
        Ok(Accepted { socket, peer, opening: self.opening.clone() })
    }

    /// Refuses new connections, takes in those on their way and those in the queue, and closes. Calls `take` for
    /// each; says whether the kernel could refuse the new without losing the others. `round_trip` is that of the slowest
    /// client seen. Several processes may close their ends of one socket at the same time: each refuses the new ones for all, and
    /// those in the queue are taken by the one or the other. A socket that outlives this process refuses none: those that come after the
    /// queue was emptied wait for the next process.
    pub(crate) async fn close(self, round_trip: Duration, mut take: impl FnMut(Accepted)) -> bool {
        let Self { socket, opening } = self;
        let mut take = |(socket, peer)| take(Accepted { socket, peer, opening: opening.clone() });
        match socket {
            ListeningSocket::Unix(listener, file) => {
                file.remove();
                empty(
                    listener.into_std(),
                    |listener| listener.accept().map(|(socket, _)| socket),
                    |socket| {
                        socket.set_nonblocking(true)?;
                        take((AcceptedSocket::Unix(UnixStream::from_std(socket)?), Peer::unix()));
                        Ok(())
                    },
                )
                .await;
                true
            }
            ListeningSocket::Tcp(listener, local) => {
                let lossless = local.outlives_us || sys::unlisten(listener.as_fd()).is_ok();
                if lossless && !local.outlives_us {
                    settle(&listener, local, round_trip, &mut take).await;
                }
                empty(
                    listener.into_std(),
                    |listener| listener.accept(),
                    |(socket, remote)| {
                        socket.set_nonblocking(true)?;
                        take(accepted(TcpStream::from_std(socket)?, remote, local.address));
                        Ok(())
                    },
                )
                .await;
                lossless
            }
        }
    }
}

/// Accepts while handshakes that had begun come to their end: several round trips, of the slowest client seen before and of
/// those that do.
async fn settle(
    listener: &TcpListener,
    local: Local,
    round_trip: Duration,
    take: &mut impl FnMut((AcceptedSocket, Peer)),
) {
    let begun = Instant::now();
    let mut limit = (4 * round_trip).clamp(SETTLE_MIN, SETTLE_MAX);
    while let Ok(next) = tokio::time::timeout_at(begun + limit, listener.accept()).await {
        let (socket, remote) = match next {
            Ok(next) => next,
            Err(error) if gone_already(&error) => continue,
            // Out of descriptors: the connections that wait are taken when the queue is emptied.
            Err(_) => return tokio::time::sleep_until(begun + limit).await,
        };
        if let Ok(round_trip) = sys::round_trip(socket.as_fd()) {
            limit = limit.max(4 * round_trip).min(SETTLE_MAX);
        }
        take(accepted(socket, remote, local.address));
    }
}

/// Accepts all that a listener's queue holds. The runtime's own readiness is not asked: it may not have heard of the
/// last ones yet. Where descriptors have run out, the connections that end meanwhile give some back.
async fn empty<L, A>(
    listener: io::Result<L>,
    accept: impl Fn(&L) -> io::Result<A>,
    mut take: impl FnMut(A) -> io::Result<()>,
) {
    let Ok(listener) = listener else { return };
    let give_up = Instant::now() + EMPTYING_MAX;
    for _ in 0..EMPTYING_MOST {
        match accept(&listener) {
            // A connection that cannot be taken up is closed; the others go on.
            Ok(accepted) => drop(take(accepted)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if gone_already(&error) => {}
            Err(_) if Instant::now() >= give_up => return,
            Err(_) => tokio::time::sleep(EMPTYING_PAUSE).await,
        }
    }
}

/// Whether accepting failed because of that one client, and not because of this process.
pub(crate) fn gone_already(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests;
