//! Two servers and one path.

use super::*;
use std::os::unix::net::UnixListener;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn bind(path: &Path) -> Result<(Socket, SocketFile), Error> {
    let address = Address::parse(&format!("unix://{}", path.display())).unwrap();
    SocketFile::bind(&address, path, None)
}

fn refused(path: &Path) -> String {
    bind(path).unwrap_err().to_string()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A server binds before the app boots and listens after; a second one started meanwhile took the socket away.
#[test]
fn a_socket_that_does_not_listen_yet_is_not_taken_over() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    let (socket, file) = bind(&path).unwrap();
    let inode = identity(&path);
    assert!(refused(&path).ends_with(STARTING), "{}", refused(&path));
    assert_eq!(identity(&path), inode);
    socket.listen(1).unwrap();
    assert!(refused(&path).ends_with(LISTENING), "{}", refused(&path));
    assert_eq!(names(directory.path()), ["app.sock", "app.sock.lock"]);

    drop(file);
    assert!(names(directory.path()).is_empty());
    bind(&path).unwrap();
}

/// Servers of other makes have no lock.
#[cfg(target_os = "linux")]
#[test]
fn nor_is_one_of_another_make() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    assert!(refused(&path).ends_with(STARTING), "{}", refused(&path));
    drop(socket);
    bind(&path).unwrap();
}

#[test]
fn what_a_dead_process_left_behind_is_no_obstacle() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    drop(UnixListener::bind(&path).unwrap());
    fs::write(directory.path().join("app.sock.lock"), "").unwrap();
    let (_, file) = bind(&path).unwrap();
    drop(file);
    assert!(names(directory.path()).is_empty());
}

/// The second server takes over the path of the first; its socket must survive the end of the first.
#[test]
fn leaves_what_took_its_place() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    let (_socket, file) = bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::remove_file(directory.path().join("app.sock.lock")).unwrap();
    let (_second, other) = bind(&path).unwrap();
    drop(file);
    assert_eq!(names(directory.path()), ["app.sock", "app.sock.lock"]);
    assert!(refused(&path).ends_with(STARTING));
    drop(other);
}

#[test]
fn removes_no_file_that_has_something_in_it_and_follows_no_link() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    let lock = directory.path().join("app.sock.lock");
    fs::write(&lock, "precious").unwrap();
    drop(bind(&path).unwrap());
    assert_eq!(fs::read_to_string(&lock).unwrap(), "precious");
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink(directory.path().join("elsewhere"), &lock).unwrap();
    assert!(refused(&path).contains("app.sock.lock cannot be opened"), "{}", refused(&path));
    assert_eq!(names(directory.path()), ["app.sock.lock"]);
}

/// Many that start at the same moment on what a dead one left: one has the socket in the end, and it is the one that says so.
#[test]
fn of_many_at_the_same_moment_one_gets_it() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    for _ in 0..20 {
        drop(UnixListener::bind(&path).unwrap());
        let start = std::sync::Barrier::new(4);
        let bound: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        bind(&path).ok()
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(bound.len(), 1);
        assert_eq!(identity(&path), bound[0].1.identity);
    }
}

#[test]
fn an_abstract_name_has_neither_file_nor_lock() {
    let name = format!("@tidegate-test-{}", std::process::id());
    let address = Address::parse(&format!("unix://{name}")).unwrap();
    let (_socket, file) = SocketFile::bind(&address, Path::new(&name), Some(0o600)).unwrap();
    assert!(file.identity.is_none() && file.lock.is_none());
    assert!(SocketFile::bind(&address, Path::new(&name), None).is_err());
}

#[test]
fn tells_a_bound_socket_from_listeners_connections_and_others() {
    let list = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
        ffff8881: 00000002 00000000 00010000 0001 01 25 /run/listens\n\
        0000000000000000: 00000002 00000000 00000000 0001 01 26 /run/with a space\n\
        0000000000000000: 00000003 00000000 00000000 0001 03 27 /run/connected\n\
        0000000000000000: 00000002 00000000 00000000 0001 01  28\n\
        0000000000000000: 00000002 00000000 00000000 0001 01 29 /run/bound\n\n";
    let bound = |path: &str| is_bound(list, Path::new(path));
    assert!(bound("/run/bound") && bound("/run/with a space"));
    for other in ["/run/listens", "/run/connected", "/run/boun", "/run/bound2", "", "Path"] {
        assert!(!bound(other), "{other}");
    }
}

/// A worker that is replaced, a boot that fails, and a master that ends before its workers leave the file to those that serve.
#[test]
fn the_file_of_a_shared_socket_goes_when_all_that_serve_on_it_close() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    let (socket, mut file) = bind(&path).unwrap();
    file.share();
    socket.listen(1).unwrap();
    let (first, second, retiring) = (file.twin(), file.twin(), file.twin());
    drop(retiring);
    assert!(names(directory.path()).contains(&"app.sock".to_owned()));
    first.remove();
    assert_eq!(names(directory.path()), ["app.sock.lock"]);
    drop(socket);
    second.remove();
    assert!(refused(&path).ends_with(STARTING), "the lock is held as long as a process of the cluster lives");
    file.remove();
    assert!(names(directory.path()).is_empty());
    bind(&path).unwrap();
}

#[test]
fn a_master_that_ends_before_its_workers_takes_neither_file_nor_lock_along() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    let (_socket, mut file) = bind(&path).unwrap();
    file.share();
    drop(file);
    assert_eq!(names(directory.path()), ["app.sock", "app.sock.lock"]);
    assert!(refused(&path).ends_with(STARTING), "{}", refused(&path));
}
