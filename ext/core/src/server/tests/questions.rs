//! The admin listener of a cluster: a question that one worker is asked reaches all, and a command to end reaches the master.

use super::*;
use crate::{
    admin::questions::{NextQuestion, Questions, Reply},
    config::Token,
};

const TOKEN: &str = "0123456789abcdef";

/// An interpreter that replies to each question with the worker's number.
fn answer(questions: Questions, number: usize) {
    let (ready, is_ready) = crossbeam_channel::bounded(1);
    thread::spawn(move || {
        let parker = Parker::new();
        parker.unparker().unpark();
        questions.next(&parker);
        ready.send(()).unwrap();
        loop {
            match questions.next(&parker) {
                NextQuestion::Question(id, _) => questions.answer(id, Reply::Done(number.to_string())),
                NextQuestion::Nothing => {}
                NextQuestion::Over => return,
            }
        }
    });
    is_ready.recv().unwrap();
}

fn ask(cluster: &TestCluster, verb: &str, path: &str) -> String {
    let address = cluster.workers[0].running.admin_address().unwrap();
    let mut stream = TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    let head = format!("{verb} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.trim_end().to_owned()
}

fn cluster() -> TestCluster {
    let mut config = config("tcp://127.0.0.1:0");
    config.admin = Some(Address::parse("tcp://127.0.0.1:0").unwrap());
    config.admin_access.admin_token = Some(Token::new(TOKEN));
    cluster_of(3, config)
}

#[test]
fn a_question_goes_to_all_workers_whichever_is_asked() {
    let cluster = cluster();
    for (number, worker) in cluster.workers.iter().enumerate() {
        answer(worker.running.questions().clone(), number);
    }
    let pid = std::process::id();
    let of_worker = |number: usize| format!("{{\"index\":{number},\"pid\":{pid},\"result\":{number}}}");
    let expected = format!("{{\"workers\":[{},{},{}]}}", of_worker(0), of_worker(1), of_worker(2));
    for _ in 0..5 {
        assert_eq!(ask(&cluster, "GET", "/gc-stats"), expected);
    }
    assert_eq!(cluster.sum(|counted| counted.taken_over), 0, "none of it counts as a connection");
}

#[test]
fn a_command_to_end_goes_to_the_master_and_ends_no_worker_by_itself() {
    let mut cluster = cluster();
    assert_eq!(ask(&cluster, "POST", "/halt"), "{\"status\":\"ok\"}");
    let mut told = Vec::new();
    eventually("the master is told", || {
        for worker in &mut cluster.workers {
            worker.control.set_nonblocking(true).unwrap();
            let mut line = [0; 16];
            if let Ok(length) = worker.control.read(&mut line) {
                told.extend_from_slice(&line[..length]);
            }
        }
        told == b"halt\n"
    });
    assert!(cluster.workers.iter().all(|worker| worker.running.phase() == Phase::Ready));
}
