//! The file of a Unix socket: made, kept from other servers, and removed with the listener. A lock beside it, `PATH.lock`, is
//! held from before the socket is bound to after it is gone, because a socket that is bound and does not listen yet refuses
//! clients as the one of a dead process does.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::{config::Address, error::Error};

/// Where Linux lists the Unix sockets of all processes.
const SOCKETS: &str = "/proc/net/unix";

/// A socket's file, removed with this value, unless another file has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode; `None` in the abstract namespace, where there is no file.
    identity: Option<(u64, u64)>,
    /// The process that made it. A child that the app has forked must not take the file along when it ends.
    owner: u32,
    /// `None` in the abstract namespace. Given back after the file is gone.
    lock: Option<PathLock>,
    /// Several processes serve on the socket: dropping this leaves the file to them.
    shared: bool,
}

impl SocketFile {
    /// Binds a socket at `path`, and takes the place of one that a dead process left behind.
    ///
    /// # Errors
    ///
    /// [`Error::is_bind`] when another process has the socket, listening or not yet, or another file is there.
    pub(super) fn bind(address: &Address, path: &Path, mode: Option<u32>) -> Result<(Socket, Self), Error> {
        let failed = |cause| Error::bind(address, cause);
        let name = path.to_string_lossy();
        let (target, lock) = match name.strip_prefix('@') {
            Some(name) => (SockAddr::unix(format!("\0{name}")).map_err(failed)?, None),
            None => {
                let target = SockAddr::unix(path).map_err(failed)?;
                let lock = PathLock::take(address, path)?;
                make_room(address, path)?;
                (target, Some(lock))
            }
        };
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        socket.bind(&target).map_err(failed)?;
        let identity = if lock.is_some() { identity(path) } else { None };
        let file = Self { path: path.to_owned(), identity, owner: std::process::id(), lock, shared: false };
        if let Some(mode) = mode
            && file.identity.is_some()
        {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        }
        Ok((socket, file))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Several processes serve on the socket from now on. Only [`remove`](Self::remove) removes its file, and the first of them
    /// to do so; a process that leaves while others serve, or is killed, leaves it alone.
    pub(super) fn share(&mut self) {
        self.shared = true;
    }

    /// All that serve on the socket close it: removes the file, unless another process has done so.
    pub(super) fn remove(mut self) {
        if self.shared {
            self.remove_own();
        }
        // The drop gives the lock back, where this process took it.
        self.shared = false;
    }

    /// Another owner of the same file, as a forked process is one.
    #[cfg(test)]
    pub(super) fn twin(&self) -> Self {
        Self { path: self.path.clone(), lock: None, ..*self }
    }

    /// Removes the file if it is still the one of this socket. No other server can put its own there meanwhile: the processes that
    /// serve on the socket hold the lock.
    fn remove_own(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // Nothing can be done about a file that stays, and the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.shared {
            // The lock is that of all the processes, and ends with the last of their descriptors. Dropping that of the process that
            // took it would give it back for all.
            std::mem::forget(self.lock.take_if(|lock| lock.owner == std::process::id()));
        } else if self.owner == std::process::id() {
            self.remove_own();
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| identity_of(&file))
}

fn identity_of(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Removes the socket that a dead process left behind; refuses to take the place of a live one, or of other files.
fn make_room(address: &Address, path: &Path) -> Result<(), Error> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(()) };
    if !there.file_type().is_socket() {
        return Err(Error::bind_refused(address, "a file of that name is there, and it is not a socket"));
    }
    match find_out(path).map_err(|cause| Error::bind(address, cause))? {
        Holder::Listening => Err(Error::bind_refused(address, LISTENING)),
        Holder::Bound => Err(Error::bind_refused(address, STARTING)),
        Holder::Dead => fs::remove_file(path).map_err(|cause| Error::bind(address, cause)),
    }
}

const LISTENING: &str = "another process is listening on that socket";
const STARTING: &str = "another process has bound that socket and is about to listen on it";

/// What has become of the process that bound a socket.
enum Holder {
    Listening,
    /// It will listen, or it has forgotten to.
    Bound,
    Dead,
}

/// Finds out without waiting.
fn find_out(path: &Path) -> io::Result<Holder> {
    match knock(path) {
        Ok(()) => Ok(Holder::Listening),
        // It listens, and its queue is full.
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Ok(Holder::Listening),
        // Servers of other makes have no lock beside their socket. Where there is no such list, the lock has to do.
        Err(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => match fs::read(SOCKETS) {
            Ok(list) if is_bound(&list, path) => Ok(Holder::Bound),
            _ => Ok(Holder::Dead),
        },
        Err(cause) => Err(cause),
    }
}

fn knock(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// Whether `list`, in the form of `/proc/net/unix`, has a socket that is bound to `path` and neither listens nor is a
/// connection: its flags are 0, and its state is 1 (unconnected).
fn is_bound(list: &[u8], path: &Path) -> bool {
    list.split(|byte| *byte == b'\n').any(|line| {
        let mut rest = line;
        let mut columns = [&b""[..]; 7];
        for column in &mut columns {
            rest = rest.trim_ascii_start();
            let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
            (*column, rest) = rest.split_at(end);
        }
        let [_, _, _, flags, _, state, _] = columns;
        (flags, state) == (b"00000000", b"01") && rest.strip_prefix(b" ") == Some(path.as_os_str().as_encoded_bytes())
    })
}

// ===== the lock =====

/// An exclusive lock on a file that is removed with this value. The kernel gives back what a dead process held.
#[derive(Debug)]
struct PathLock {
    file: File,
    path: PathBuf,
    owner: u32,
}

impl PathLock {
    fn take(address: &Address, socket: &Path) -> Result<Self, Error> {
        let mut path = OsString::from(socket);
        path.push(".lock");
        let path = PathBuf::from(path);
        loop {
            let file = open(&path).map_err(|cause| match identity(&path) {
                Some(_) => Error::bind_refused(address, format_args!("{} cannot be opened: {cause}", path.display())),
                // The socket could not be made there either, and its name is the one that the operator knows.
                None => Error::bind(address, cause),
            })?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Its last holder may have removed it between the two steps, and another process made a new one.
                Ok(()) if !is_at(&file, &path) => {}
                Ok(()) => return Ok(Self { file, path, owner: std::process::id() }),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    let listening = matches!(find_out(socket), Ok(Holder::Listening));
                    return Err(Error::bind_refused(address, if listening { LISTENING } else { STARTING }));
                }
                // On a file system without locks, the socket itself and the kernel's list have to do.
                Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK | Errno::INVAL) => {
                    return Ok(Self { file, path, owner: std::process::id() });
                }
                Err(cause) => {
                    let cause = io::Error::from(cause);
                    return Err(Error::bind_refused(
                        address,
                        format_args!("{} cannot be locked: {cause}", path.display()),
                    ));
                }
            }
        }
    }
}

/// Opens the file of a lock, or makes it; never one that a link leads to, and without waiting for the other end of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.cast_signed())
        .open(path)
}

/// Whether `path` still names this file.
fn is_at(file: &File, path: &Path) -> bool {
    file.metadata().is_ok_and(|own| identity(path) == Some(identity_of(&own)))
}

impl Drop for PathLock {
    fn drop(&mut self) {
        // A child of the app has the lock too, and it is the server's.
        if self.owner != std::process::id() {
            return;
        }
        // Removed while it is held, so that it can't be another process's; and only what may be ours, which is empty.
        if self.file.metadata().is_ok_and(|file| file.is_file() && file.len() == 0) && is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
        // For the children too, which have the descriptor as well.
        let _ = flock(&self.file, FlockOperation::NonBlockingUnlock);
    }
}

#[cfg(test)]
mod tests;
