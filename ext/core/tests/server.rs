//! The whole server over real sockets, through its public interface; a Rust thread plays the application.

#![allow(clippy::unwrap_used, reason = "this is a test, and so are its helpers")]

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use http::StatusCode;
use tidegate_core::{
    Address, Config, DispatchQueue, Event, Next, OrAuto, Parker, Phase, PlanOptions, Response, Running, Server, Signal,
};

fn config(binds: &[String], delay: Duration) -> Config {
    Config {
        bind: binds.iter().map(|text| Address::parse(text).unwrap()).collect(),
        admin: Some(Address::parse("tcp://127.0.0.1:0").unwrap()),
        spool_directory: std::env::temp_dir(),
        max_threads: 2,
        shutdown: PlanOptions {
            drain_delay: OrAuto::Value(delay),
            shutdown_timeout: OrAuto::Value(Duration::from_secs(20)),
            ..Default::default()
        },
        ..Default::default()
    }
}

/// An application that answers each request with its path.
fn work(queue: Arc<DispatchQueue>) {
    thread::spawn(move || {
        let worker = queue.register();
        loop {
            match worker.look() {
                Next::Exchange(exchange) => {
                    let path = exchange.request.head.uri.path().to_owned();
                    let _ = exchange.responder.send(Response::text(StatusCode::OK, path));
                }
                Next::Nothing => drop(worker.sleep()),
                Next::Over => return,
            }
        }
    });
}

/// A running server, and the lines it logs.
fn start(config: Config) -> (Running, mpsc::Receiver<String>) {
    let server = Server::bind(config).unwrap();
    work(server.queue().clone());
    let (log, lines) = mpsc::channel();
    let running = server.start(Arc::new(move |event| drop(log.send(event.to_string())))).unwrap();
    (running, lines)
}

fn host(address: &str) -> String {
    address.trim_start_matches("tcp://").to_owned()
}

fn ask(mut stream: impl Read + Write, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn get(address: &str, path: &str) -> std::io::Result<String> {
    TcpStream::connect(host(address)).map(|stream| ask(stream, path))
}

fn wait_for(lines: &mpsc::Receiver<String>, start: &str) -> String {
    loop {
        let line = lines.recv_timeout(Duration::from_secs(20)).expect(start);
        if line.starts_with(start) {
            return line;
        }
    }
}

#[test]
fn serves_tcp_and_unix_sockets_until_it_is_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let binds = ["tcp://127.0.0.1:0".to_owned(), format!("unix://{}", path.display())];
    let (running, lines) = start(config(&binds, Duration::ZERO));
    assert!(wait_for(&lines, "ready on").contains(&host(&running.addresses()[0])));
    assert!(get(&running.addresses()[0], "/tcp").unwrap().ends_with("\r\n\r\n/tcp"));
    assert!(ask(UnixStream::connect(&path).unwrap(), "/unix").ends_with("\r\n\r\n/unix"));
    running.tell(Event::Stop, Instant::now());
    assert_eq!(running.wait(&Parker::new(), None), Some(true));
    assert_eq!(running.phase(), Phase::Stopped { status: 0 });
    assert!(!path.exists());
}

#[test]
fn a_drain_serves_everything_new_then_refuses_and_stops() {
    let (running, lines) = start(config(&["tcp://127.0.0.1:0".to_owned()], Duration::from_secs(600)));
    let (address, admin) = (running.addresses()[0].clone(), running.admin_address().unwrap().to_owned());
    let status = |path| get(&admin, path).unwrap()[9..12].to_owned();
    assert_eq!(["/livez", "/readyz", "/servingz"].map(status), ["200", "200", "200"]);

    running.tell(Event::Signal(Signal::Term), Instant::now());
    wait_for(&lines, "draining: SIGTERM");
    assert_eq!(["/livez", "/readyz", "/servingz"].map(status), ["200", "503", "200"]);
    assert!(get(&address, "/new").unwrap().ends_with("/new"));

    // A connection that has begun to speak holds the end until it is answered.
    let mut half = TcpStream::connect(host(&address)).unwrap();
    half.write_all(b"GET /half HTTP/1.1\r\n").unwrap();
    running.tell(Event::Signal(Signal::Term), Instant::now());
    wait_for(&lines, "closing: SIGTERM");
    wait_for(&lines, "listeners closed");
    assert_eq!(TcpStream::connect(host(&address)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(["/livez", "/readyz", "/servingz"].map(status), ["200", "503", "503"]);
    half.write_all(b"host: x\r\n\r\n").unwrap();
    let mut text = String::new();
    half.read_to_string(&mut text).unwrap();
    assert!(text.contains("\r\nconnection: close\r\n") && text.ends_with("\r\n\r\n/half"), "{text}");
    drop(half);

    let summary = wait_for(&lines, "drain: done");
    assert!(summary.contains("new_conns=2") && summary.contains("exit=0"), "{summary}");
    assert_eq!(running.wait(&Parker::new(), None), Some(true));
}

/// The I/O thread could not run for longer than a forced end takes: it ended before the accept queue was emptied, and what
/// was in there was reset.
#[test]
fn a_forced_end_that_was_overslept_refuses_what_is_in_the_accept_queue() {
    let server = Server::bind(config(&["tcp://127.0.0.1:0".to_owned()], Duration::ZERO)).unwrap();
    let (connected, clients) = mpsc::channel();
    let address = Arc::new(OnceLock::<String>::new());
    let known = address.clone();
    let running = server.start(Arc::new(move |event| {
        let line = event.to_string();
        if line.starts_with("closing") {
            let mut client = TcpStream::connect(host(known.wait())).unwrap();
            client.write_all(b"GET /late HTTP/1.1\r\n").unwrap();
            connected.send(client).unwrap();
        } else if line.starts_with("forcing") {
            thread::sleep(Duration::from_millis(600));
        }
    }));
    let running = running.unwrap();
    address.set(running.addresses()[0].clone()).unwrap();
    for signal in [Signal::Int, Signal::Quit, Signal::Term] {
        running.tell(Event::Signal(signal), Instant::now());
    }
    let mut client = clients.recv().unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nconnection: close\r\n"), "{text}");
    drop(client);
    assert_eq!(running.wait(&Parker::new(), None), Some(true));
}

#[test]
fn waiting_for_the_end_can_be_given_up() {
    let (running, _lines) = start(config(&["tcp://127.0.0.1:0".to_owned()], Duration::ZERO));
    let parker = Parker::new();
    assert_eq!(running.wait(&parker, Some(Duration::from_millis(1))), Some(false));
    parker.unparker().unpark();
    assert_eq!(running.wait(&parker, None), None);
    running.tell(Event::Stop, Instant::now());
    assert_eq!(running.wait(&parker, None), Some(true));
}
