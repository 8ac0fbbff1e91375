//! Binding, and closing without losing a client.

use super::*;
use socket2::SockAddr;
use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener as StdUnixListener},
    path::Path,
};

fn parse(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn binds_port_zero_and_says_which_it_got() {
    let bound = Bound::bind(&parse("tcp://127.0.0.1:0")).unwrap().remove(0);
    let address = bound.address().trim_start_matches("tcp://").to_owned();
    assert!(!address.ends_with(":0"));
    let refused = std::net::TcpStream::connect(&address).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused, "bound is not listening");
    let listener = bound.listen().unwrap();
    let client = tokio::net::TcpStream::connect(&address).await.unwrap();
    let Accepted { peer, .. } = listener.accept().await.unwrap();
    assert_eq!(peer.remote_port, client.local_addr().unwrap().port());
}

#[test]
fn a_busy_port_is_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", taken.local_addr().unwrap());
    let error = Bound::bind(&parse(&address)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {address}: the address is already in use by another process")
    );
}

#[tokio::test]
async fn replaces_a_stale_unix_socket_and_removes_its_own() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    drop(StdUnixListener::bind(&path).unwrap());
    let address = parse(&format!("unix://{}?mode=0600", path.display()));
    let listener = Bound::bind(&address).unwrap().remove(0).listen().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let queued = tokio::net::UnixStream::connect(&path).await.unwrap();
    let mut taken = 0;
    assert!(listener.close(Duration::ZERO, |_| taken += 1).await);
    assert_eq!(taken, 1);
    assert!(!path.exists());
    drop(queued);
}

#[test]
fn a_boot_that_is_given_up_leaves_no_socket_file() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    let bound = Bound::bind(&parse(&format!("unix://{}", path.display()))).unwrap();
    assert!(path.exists());
    drop(bound);
    assert!(!path.exists());
}

#[test]
fn leaves_a_live_unix_socket_and_other_files_alone() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    let live = StdUnixListener::bind(&path).unwrap();
    let address = parse(&format!("unix://{}", path.display()));
    let error = Bound::bind(&address).unwrap_err().to_string();
    assert!(error.ends_with("another process is listening on that socket"), "{error}");
    drop(live);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    let error = Bound::bind(&address).unwrap_err().to_string();
    assert!(error.ends_with("it is not a socket"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn explains_a_unix_path_that_cannot_be() {
    let error = Bound::bind(&parse("unix:///nonexistent/app.sock")).unwrap_err().to_string();
    assert_eq!(error, "cannot listen on unix:///nonexistent/app.sock: the directory does not exist");
}

/// `connect` waits for room in a full queue: a live server that is busy used to hang the boot of another.
#[test]
fn a_live_unix_socket_with_a_full_queue_is_live() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    let live = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    live.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    live.listen(0).unwrap();
    let mut queued = Vec::new();
    while let Ok(socket) = knock_and_stay(&path) {
        queued.push(socket);
    }
    let error = Bound::bind(&parse(&format!("unix://{}", path.display()))).unwrap_err().to_string();
    assert!(error.ends_with("another process is listening on that socket"), "{error}");
}

fn knock_and_stay(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?).map(|()| socket)
}

/// Connections made before the close are served, those after it refused, none reset.
#[tokio::test]
async fn closes_without_losing_the_queue() {
    let listener = Bound::bind(&parse("tcp://127.0.0.1:0")).unwrap().remove(0).listen().unwrap();
    let ListeningSocket::Tcp(_, local) = &listener.socket else { panic!() };
    let address = local.address;
    let queued: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let mut taken = Vec::new();
    let lossless = listener.close(Duration::ZERO, |accepted| taken.push(accepted)).await;
    assert_eq!(taken.len(), queued.len());
    assert_eq!(lossless, cfg!(target_os = "linux"));
    assert!(std::net::TcpStream::connect(address).is_err());
}

/// A handshake takes as long as the client's round trip: a client 110 ms away was lost in a close after 100 ms.
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn waits_for_the_handshakes_of_clients_that_are_far_away() {
    for (round_trip, expected) in [(0, 100), (10, 100), (110, 440), (900, 500)] {
        let listener = Bound::bind(&parse("tcp://127.0.0.1:0")).unwrap().remove(0).listen().unwrap();
        let begun = tokio::time::Instant::now();
        listener.close(Duration::from_millis(round_trip), |_| ()).await;
        assert_eq!(begun.elapsed().as_millis(), expected, "round trip of {round_trip} ms");
    }
}

fn inherited(address: &Address, socket: &impl AsRawFd, outlives_us: bool) -> Inherited {
    Inherited { address: address.clone(), descriptor: socket.as_raw_fd(), outlives_us }
}

/// systemd keeps its sockets: `unlisten` on one of them would have cut the service off for good.
#[tokio::test]
async fn a_socket_that_outlives_us_is_emptied_and_goes_on_listening() {
    let kept = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = parse(&format!("tcp://{}", kept.local_addr().unwrap()));
    let served = std::net::TcpStream::connect(kept.local_addr().unwrap()).unwrap();
    let bound = Bound::open(&address, &[inherited(&address, &kept, true)]).unwrap().remove(0);
    assert_eq!(bound.address(), address.to_string());
    assert!(bound.inheritance().outlives_us);
    let mut taken = Vec::new();
    assert!(bound.listen().unwrap().close(Duration::ZERO, |accepted| taken.push(accepted)).await);
    assert_eq!(taken.len(), 1);
    let later = std::net::TcpStream::connect(kept.local_addr().unwrap()).unwrap();
    let (_, peer) = kept.accept().unwrap();
    assert_eq!(peer, later.local_addr().unwrap());
    drop(served);
}

#[tokio::test]
async fn a_unix_socket_that_outlives_us_keeps_its_file() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    let kept = StdUnixListener::bind(&path).unwrap();
    let address = parse(&format!("unix://{}?mode=0600", path.display()));
    let bound = Bound::open(&address, &[inherited(&address, &kept, true)]).unwrap().remove(0);
    let queued = tokio::net::UnixStream::connect(&path).await.unwrap();
    let mut taken = 0;
    assert!(bound.listen().unwrap().close(Duration::ZERO, |_| taken += 1).await);
    assert_eq!(taken, 1);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no lock beside it");
    drop(std::os::unix::net::UnixStream::connect(&path).unwrap());
    drop(queued);
}

/// As after the process has replaced its own image.
#[tokio::test]
async fn a_socket_of_our_own_that_was_passed_on_is_closed_for_good() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    for text in ["tcp://127.0.0.1:0".to_owned(), format!("unix://{}", path.display())] {
        let address = parse(&text);
        let before = Bound::bind(&address).unwrap().remove(0);
        let passed_on = [before.inheritance()];
        assert_eq!(passed_on[0].address, address, "as it was configured: port 0 stays the same port");
        let bound = Bound::open(&parse(&format!("{text}?backlog=3")), &passed_on).unwrap().remove(0);
        assert_eq!(bound.address(), before.address());
        std::mem::forget(before); // replaced, without an end
        assert!(bound.listen().unwrap().close(Duration::ZERO, |_| ()).await);
        assert!(!path.exists());
    }
}

#[test]
fn what_was_passed_for_an_address_must_be_a_socket_of_that_kind() {
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let unix = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (over_tcp, over_unix) = (parse("tcp://127.0.0.1:9292"), parse("unix:///nowhere/app.sock"));
    for passed in [
        inherited(&over_tcp, &udp, true),
        inherited(&over_tcp, &unix, true),
        inherited(&over_unix, &tcp, true),
        Inherited { address: over_tcp.clone(), descriptor: -1, outlives_us: false },
    ] {
        let error = Bound::open(&passed.address, std::slice::from_ref(&passed)).unwrap_err();
        let expected =
            format!("cannot listen on {}: the descriptor {} that was passed", passed.address, passed.descriptor);
        assert!(error.is_bind() && error.to_string().starts_with(&expected), "{error}");
    }
}

/// The port that was free on 127.0.0.1 may be another's on ::1.
#[test]
fn another_port_is_tried_where_any_will_do() {
    let in_use = || Error::bind("tcp://localhost:0", io::ErrorKind::AddrInUse.into());
    let mut calls = 0;
    let bound = with_another_port(|| {
        calls += 1;
        if calls < 4 { Err(in_use()) } else { Ok(calls) }
    });
    assert_eq!(bound.unwrap(), 4);
    let mut calls = 0;
    let refused = with_another_port(|| -> Result<(), Error> {
        calls += 1;
        Err(in_use())
    });
    assert!(refused.unwrap_err().is_address_in_use());
    assert_eq!(calls, OTHER_PORTS + 1);
    let refused = with_another_port(|| -> Result<(), Error> {
        Err(Error::bind("tcp://localhost:0", io::ErrorKind::PermissionDenied.into()))
    });
    assert!(refused.unwrap_err().to_string().contains("permission denied"));
}
