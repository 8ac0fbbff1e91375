//! A server that has the process to itself hears its signals. Alone in this file: the process ends some time after such a server.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use tidegate_core::{Address, Config, OrAuto, Parker, Phase, PlanOptions, Server, Signal};

/// Signals were heard once the interpreter came to say so; a client could connect before.
#[test]
fn signals_are_heard_from_before_the_first_client_can_connect() {
    let mut server = Server::bind(Config {
        bind: vec![Address::parse("tcp://127.0.0.1:0").unwrap()],
        spool_directory: std::env::temp_dir(),
        shutdown: PlanOptions { shutdown_timeout: OrAuto::Value(Duration::from_secs(20)), ..Default::default() },
        ..Default::default()
    })
    .unwrap();
    server.own_process(&[Signal::Quit]);
    let (log, lines) = mpsc::channel();
    let running = server.start(Arc::new(move |event| drop(log.send(event.to_string())))).unwrap();
    let pid = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-QUIT", &pid]).status().unwrap().success());
    while !lines.recv_timeout(Duration::from_secs(20)).unwrap().starts_with("closing: SIGQUIT") {}
    // What the interpreter reports of it afterwards is known already, and does not count as a second.
    running.signalled(Signal::Quit, Instant::now());
    assert_eq!(running.wait(&Parker::new(), None), Some(true));
    assert_eq!(running.phase(), Phase::Stopped { status: 0 });
    assert!(!lines.try_iter().any(|line| line.contains("still finishing")));
}
