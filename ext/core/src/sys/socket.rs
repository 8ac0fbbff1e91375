//! What only the kernel knows of a socket, and how a listener stops listening without losing what is on its way.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use std::mem;

    /// An interface index that no machine has.
    const NO_INTERFACE: libc::c_int = 0x7fff_ffff;

    pub(crate) fn unlisten(listener: BorrowedFd<'_>) -> io::Result<()> {
        let interface = NO_INTERFACE;
        // SAFETY: the descriptor is open for as long as it is borrowed, and the kernel reads `interface`, which has
        // the length given, before the call returns.
        let result = unsafe {
            libc::setsockopt(
                listener.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_BINDTOIFINDEX,
                (&raw const interface).cast(),
                mem::size_of_val(&interface) as libc::socklen_t,
            )
        };
        if result == 0 {
            return Ok(());
        }
        // Only the superuser may bind it once more: another worker, which shares the socket, has done so.
        let error = io::Error::last_os_error();
        if is_unlistened(listener) { Ok(()) } else { Err(error) }
    }

    fn is_unlistened(listener: BorrowedFd<'_>) -> bool {
        let (mut interface, mut length): (libc::c_int, _) = (0, mem::size_of::<libc::c_int>() as libc::socklen_t);
        // SAFETY: the descriptor is open for as long as it is borrowed, and the kernel writes no more than `length` bytes to
        // `interface`, which has that many, before the call returns.
        let result = unsafe {
            libc::getsockopt(
                listener.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_BINDTOIFINDEX,
                (&raw mut interface).cast(),
                &raw mut length,
            )
        };
        result == 0 && interface == NO_INTERFACE
    }

    /// The state of a connection that has ended (`TCP_CLOSE` in the kernel's list, which libc does not carry).
    const TCP_CLOSE: u8 = 7;

    pub(crate) fn unsent_bytes(socket: BorrowedFd<'_>) -> io::Result<usize> {
        match queued(socket, libc::TIOCOUTQ)? {
            0 => Ok(0),
            // After a reset the count stands for ever.
            _ if tcp_info(socket)?.tcpi_state == TCP_CLOSE => Ok(0),
            unsent => Ok(unsent),
        }
    }

    pub(crate) fn undelivered_bytes(socket: BorrowedFd<'_>) -> io::Result<usize> {
        queued(socket, libc::TIOCOUTQ)
    }

    pub(crate) fn unread_bytes(socket: BorrowedFd<'_>) -> io::Result<usize> {
        queued(socket, libc::FIONREAD)
    }

    fn queued(socket: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<usize> {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open for as long as it is borrowed; both requests write one `int` to the
        // pointer given, which is valid for it.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut bytes) };
        if result == 0 { Ok(bytes.max(0) as usize) } else { Err(io::Error::last_os_error()) }
    }

    pub(crate) fn round_trip(socket: BorrowedFd<'_>) -> io::Result<Duration> {
        tcp_info(socket).map(|info| Duration::from_micros(info.tcpi_rtt.into()))
    }

    fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<libc::tcp_info> {
        let mut info = mem::MaybeUninit::<libc::tcp_info>::zeroed();
        let mut length = mem::size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: the descriptor is open for as long as it is borrowed, and the kernel writes at most `length`
        // bytes, the size of `info`.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `tcp_info` is made of integers, for which the zeroes it began with are valid values too.
        Ok(unsafe { info.assume_init() })
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::*;

    fn unsupported() -> io::Error {
        io::ErrorKind::Unsupported.into()
    }

    pub(crate) fn unlisten(_: BorrowedFd<'_>) -> io::Result<()> {
        Err(unsupported())
    }

    pub(crate) fn unsent_bytes(_: BorrowedFd<'_>) -> io::Result<usize> {
        Err(unsupported())
    }

    pub(crate) fn undelivered_bytes(_: BorrowedFd<'_>) -> io::Result<usize> {
        Err(unsupported())
    }

    pub(crate) fn unread_bytes(_: BorrowedFd<'_>) -> io::Result<usize> {
        Err(unsupported())
    }

    pub(crate) fn round_trip(_: BorrowedFd<'_>) -> io::Result<Duration> {
        Err(unsupported())
    }
}

#[cfg(not(target_os = "linux"))]
use elsewhere as platform;
#[cfg(target_os = "linux")]
use linux as platform;

/// Makes the kernel refuse new connections on a listening TCP socket, while handshakes under way complete and the
/// accept queue stays: the socket is bound to an interface that does not exist. It cannot be undone for practical
/// purposes, so it is not for a socket that outlives this process.
///
/// # Errors
///
/// Where the kernel knows no such option (Linux before 5.7, gVisor, other systems).
pub(crate) fn unlisten(listener: BorrowedFd<'_>) -> io::Result<()> {
    platform::unlisten(listener)
}

/// Bytes written to a TCP connection that its peer has not acknowledged, and still may.
///
/// # Errors
///
/// Where the system cannot tell.
pub(crate) fn unsent_bytes(socket: BorrowedFd<'_>) -> io::Result<usize> {
    platform::unsent_bytes(socket)
}

/// Memory of what was written to a Unix socket and its peer has not read; 0 for none.
///
/// # Errors
///
/// Where the system cannot tell.
pub(crate) fn undelivered_bytes(socket: BorrowedFd<'_>) -> io::Result<usize> {
    platform::undelivered_bytes(socket)
}

/// Bytes a connection has received that were not read.
///
/// # Errors
///
/// Where the system cannot tell.
pub(crate) fn unread_bytes(socket: BorrowedFd<'_>) -> io::Result<usize> {
    platform::unread_bytes(socket)
}

/// The round-trip time of a TCP connection, as its handshake or later traffic showed.
///
/// # Errors
///
/// Where the system cannot tell, and on other sockets.
pub(crate) fn round_trip(socket: BorrowedFd<'_>) -> io::Result<Duration> {
    platform::round_trip(socket)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::{
        io::{ErrorKind, Read, Write},
        net::{TcpListener, TcpStream},
        os::fd::AsFd,
    };

    #[test]
    fn unlisten_refuses_the_new_and_keeps_the_queued() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = TcpStream::connect(address).unwrap();
        unlisten(listener.as_fd()).unwrap();
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let (mut accepted, _) = listener.accept().unwrap();
        queued.write_all(b"hello").unwrap();
        let mut text = [0; 5];
        accepted.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
        assert!(round_trip(accepted.as_fd()).unwrap() > Duration::ZERO);
    }

    /// A load balancer that closes with a reset left every drain waiting for an acknowledgement that cannot come.
    #[test]
    fn nothing_is_unsent_on_a_connection_that_was_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.shutdown(std::net::Shutdown::Write).unwrap();
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        // The reset has come when reading fails or ends.
        let _ = (&server).read(&mut [0; 1]);
        assert_eq!(unsent_bytes(server.as_fd()).unwrap(), 0);
    }

    #[test]
    fn counts_what_is_on_its_way() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        while server.write(&[0; 65536]).is_ok() {}
        assert!(unsent_bytes(server.as_fd()).unwrap() > 0, "the client reads nothing");
        drop(client);
    }

    #[test]
    fn counts_what_was_not_read() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(unread_bytes(server.as_fd()).unwrap(), 0);
        client.write_all(b"four").unwrap();
        server.peek(&mut [0; 4]).unwrap();
        assert_eq!(unread_bytes(server.as_fd()).unwrap(), 4);
    }
}
