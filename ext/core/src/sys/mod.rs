//! The few system calls that no safe crate wraps, each behind a safe function. The crate's only unsafe code.

#![allow(unsafe_code)]

pub(crate) mod cpu_clock;
pub(crate) mod file;
pub(crate) mod memory;
pub(crate) mod process;

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use self::cpu_clock::CpuClock;
pub(crate) use self::file::{read_at, read_cached};

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use std::mem;

    /// An interface index that no machine has.
    const NO_INTERFACE: libc::c_int = 0x7fff_ffff;

    pub(crate) fn unlisten(listener: BorrowedFd<'_>) -> io::Result<()> {
        let interface = NO_INTERFACE;
        // SAFETY: the descriptor is open for as long as it is borrowed, and the kernel reads `interface`, whose
        // size is the length given, before the call returns.
        let result = unsafe {
            libc::setsockopt(
                listener.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_BINDTOIFINDEX,
                (&raw const interface).cast(),
                mem::size_of_val(&interface) as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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

    pub(crate) fn unread_bytes(_: BorrowedFd<'_>) -> io::Result<usize> {
        Err(unsupported())
    }

    pub(crate) fn round_trip(_: BorrowedFd<'_>) -> io::Result<Duration> {
        Err(unsupported())
    }
}

/// Gives the system back what the allocator keeps of freed memory, where it is one that can be told so (glibc's).
pub(crate) fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: may be called at any time, on any thread; it touches only memory that is free.
    unsafe {
        libc::malloc_trim(0);
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

/// How many descriptors this process may have open.
///
/// # Errors
///
/// Where the system cannot tell.
pub(crate) fn descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes to the one structure that it is given, which lives until it returns.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if result == 0 { Ok(limit.rlim_cur) } else { Err(io::Error::last_os_error()) }
}

/// An action on a signal, in force until it is given back with [`ignore_signal`].
pub(crate) type SignalAction = signal_hook_registry::SigId;

/// Has the kernel's delivery of `signal` to this process, but not to its children, count in `count` and put `byte` into
/// `pipe`, whatever any thread is doing. The handler that was there before is called after that.
///
/// # Errors
///
/// When there is no such signal, or it cannot be caught.
pub(crate) fn on_signal(
    signal: libc::c_int,
    count: Arc<AtomicU64>,
    pipe: Arc<OwnedFd>,
    byte: u8,
) -> io::Result<SignalAction> {
    let owner = std::process::id();
    let action = move || {
        if std::process::id() == owner {
            count.fetch_add(1, Ordering::SeqCst);
            put_quietly(&pipe, byte);
        }
    };
    // SAFETY: the action is async-signal-safe: it asks for the process's id, adds to an atomic and writes a byte, and
    // allocates, locks and drops nothing.
    let action = unsafe { signal_hook_registry::register(signal, action) }?;
    put_in_front(signal)?;
    Ok(action)
}

/// The registry installs its handler for a signal once. An interpreter that has installed its own again after that, as Ruby does
/// at each `trap`, has put it in the place of the registry's: this puts the registry's back, which calls the interpreter's after
/// the actions.
fn put_in_front(signal: libc::c_int) -> io::Result<()> {
    /// What the registry has installed: one for each signal of the process.
    static INSTALLED: Mutex<Vec<(libc::c_int, libc::sigaction)>> = Mutex::new(Vec::new());
    let mut installed = INSTALLED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let current = change_action(signal, None)?;
    match installed.iter().find(|(known, _)| *known == signal) {
        None => installed.push((signal, current)),
        Some((_, ours)) if ours.sa_sigaction == current.sa_sigaction => {}
        Some((_, ours)) => drop(change_action(signal, Some(ours))?),
    }
    Ok(())
}

/// The action on a signal, and `new` in its place if there is one.
fn change_action(signal: libc::c_int, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut old = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `new` is null or an action that the kernel has given us before, and `old` has room for one.
    if unsafe { libc::sigaction(signal, new, old.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has filled it.
    Ok(unsafe { old.assume_init() })
}

/// Writes a byte in a signal handler. A full pipe holds enough to wake whoever reads it.
fn put_quietly(pipe: &OwnedFd, byte: u8) {
    let before = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    // SAFETY: the descriptor is open for as long as it is borrowed, and `byte` is readable for its one byte.
    unsafe { libc::write(pipe.as_raw_fd(), (&raw const byte).cast(), 1) };
    set_errno(before);
}

/// The code that the signal has interrupted may be about to read it.
fn set_errno(value: libc::c_int) {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes nothing, and returns the address of this thread's own variable.
    let place = unsafe { libc::__errno_location() };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: as above.
    let place = unsafe { libc::__error() };
    // SAFETY: the address is valid for this thread, which is the only one to use it.
    unsafe { *place = value };
}

/// Makes a FIFO.
#[cfg(test)]
pub(crate) fn make_fifo(path: &std::path::Path) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: the path ends with a zero and lives until the call returns.
    let result = unsafe { libc::mkfifo(path.as_ptr(), 0o600) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Does what an interpreter does that installs its handler again.
#[cfg(test)]
pub(crate) fn ignore_from_now_on(signal: libc::c_int) {
    // SAFETY: to ignore a signal is allowed at any time.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Sends this process a signal that it handles.
#[cfg(test)]
pub(crate) fn raise(signal: libc::c_int) {
    // SAFETY: the call takes any number, and the signals of the tests have handlers.
    unsafe { libc::raise(signal) };
}

/// Takes an action on a signal back.
pub(crate) fn ignore_signal(action: SignalAction) {
    signal_hook_registry::unregister(action);
}

/// A descriptor of our own for the file that `descriptor` refers to.
///
/// # Errors
///
/// When it refers to none, or there are no descriptors left.
pub(crate) fn duplicate(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call only reads its arguments, and fails for a number that is no open descriptor.
    let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `copy` was opened just now and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Waits until `file` takes bytes again, or never will.
///
/// # Errors
///
/// When the system has no memory left for it.
pub(crate) fn wait_until_writable(file: BorrowedFd<'_>) -> io::Result<()> {
    let mut waiting = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: the call reads and writes the one entry that it is given, which lives until it returns.
    if unsafe { libc::poll(&raw mut waiting, 1, -1) } < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
    }
    Ok(())
}

/// glibc's name for the number of arenas, which the libc crate does not carry.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const M_ARENA_MAX: libc::c_int = -8;

/// Limits the arenas of glibc's heap. A refusal changes nothing.
pub(crate) fn limit_arenas(count: libc::c_int) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call may come at any time and on any thread, and takes every pair of numbers.
    unsafe {
        libc::mallopt(M_ARENA_MAX, count);
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = count;
}

/// Ends the process at once, without running anything that was registered for its exit.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: `_exit` takes any status, touches no memory and does not return.
    unsafe { libc::_exit(status) }
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
