//! The admin listener over the wire: who is answered, what begins a drain, and what a slow client can hold.

use super::*;
use crate::stats::SharedStats;
use crate::{
    admin::questions::{NextQuestion, Questions, Reply},
    config::Token,
    drain::Traffic,
    exchange::{Awaited, Exchange},
    http::{
        body::RequestBody,
        request::{Peer, Request as Waiting},
    },
    lifecycle::plan::Plan,
    sync::Parker,
};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
};

struct Harness {
    phase: watch::Sender<Phase>,
    queue: Arc<DispatchQueue>,
    admin: Arc<Admin>,
    questions: Questions,
    asked: Arc<AtomicU32>,
    logged: Arc<Mutex<Vec<String>>>,
    limit: Arc<ConnectionLimit>,
}

impl Harness {
    fn new(address: &str, token: Option<&str>) -> Self {
        let (sender, phase) = watch::channel(Phase::Ready);
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let end = Box::new(move |ending| {
            count.fetch_add(if ending == Ending::Drain { 1 } else { 100 }, Ordering::SeqCst);
        });
        let questions = Questions::default();
        let (plan, _) = Plan::resolve(Default::default(), Default::default());
        let settings = "[{\"name\":\"port\"}]".into();
        let steering = Steering { end, questions: questions.clone(), plan, settings, member: None };
        let logged = Arc::<Mutex<Vec<String>>>::default();
        let lines = logged.clone();
        let observer: Observer = Arc::new(move |event: &LogEvent<'_>| lines.lock().unwrap().push(event.to_string()));
        let stats = SharedStats::default();
        let queue = DispatchQueue::new(1, None, 1, stats.clone());
        let report = Report::new(
            stats.clone(),
            queue.clone(),
            Arc::new(Traffic::new(false)),
            phase.clone(),
            Default::default(),
            Default::default(),
        );
        let access = AdminAccess { admin_token: token.map(Token::new), admin_hosts: Vec::new() };
        let address = Address::parse(address).unwrap();
        let liveness = Liveness::new(queue.clone(), Some(Duration::from_secs(60)), observer.clone());
        let admin = Arc::new(Admin::new(phase, report, liveness, steering, observer, (&address, access)));
        Self { phase: sender, queue, admin, questions, asked, logged, limit: ConnectionLimit::new(4) }
    }

    fn ask(&self, client: AdminClient, request: &str) -> JoinHandle<String> {
        let (mut ours, server) = tokio::io::duplex(4096);
        tokio::spawn(serve(server, client, self.admin.clone(), self.limit.clone()));
        let request = request.replace('\n', "\r\n");
        tokio::spawn(async move {
            ours.write_all(request.as_bytes()).await.unwrap();
            let mut text = String::new();
            ours.read_to_string(&mut text).await.unwrap();
            text
        })
    }

    /// A client that has sent so much, with its connection's task.
    async fn send(&self, client: AdminClient, text: &str) -> (DuplexStream, JoinHandle<()>) {
        let (mut ours, server) = tokio::io::duplex(1024);
        let task = tokio::spawn(serve(server, client, self.admin.clone(), self.limit.clone()));
        ours.write_all(text.replace('\n', "\r\n").as_bytes()).await.unwrap();
        // All that is to be done at once is done before the time goes on.
        sleep(Duration::from_millis(1)).await;
        (ours, task)
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    fn logged(&self) -> Vec<String> {
        std::mem::take(&mut self.logged.lock().unwrap())
    }
}

fn local_client() -> AdminClient {
    AdminClient::Tcp("127.0.0.1:4711".parse().unwrap())
}

#[tokio::test]
async fn answers_over_the_wire_and_closes() {
    let harness = Harness::new("tcp://0.0.0.0:1", None);
    let text = harness.ask(local_client(), "GET /readyz HTTP/1.1\nhost: x\n\n").await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nready\n"), "{text}");
    let numbers = harness.ask(local_client(), "GET /metrics HTTP/1.1\nhost: x\n\n").await.unwrap();
    assert!(numbers.contains("\r\n\r\n# HELP "), "{numbers}");
    assert!(harness.ask(local_client(), "GET /x HTTP/1.1\nhost: x\n\n").await.unwrap().contains("404 Not Found"));
}

/// Of two servers on one machine a page of the web could read the numbers of both.
#[tokio::test]
async fn shows_a_browser_that_came_by_a_foreign_name_the_probes_alone() {
    let harness = Harness::new("tcp://0.0.0.0:1", None);
    let shown = ["/metrics", "/stats", "/", "/page.js", "/status", "/settings"].map(|path| (path, "403"));
    for (path, expected) in shown.into_iter().chain([("/livez", "200")]) {
        let request = format!("GET {path} HTTP/1.1\nhost: evil.example\naccept-language: en\n\n");
        let text = harness.ask(local_client(), &request).await.unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {expected} ")), "{text}");
    }
}

/// To be on the same host was all that it took.
#[tokio::test(start_paused = true)]
async fn drains_for_no_client_without_authority_and_says_who_asked() {
    let harness = Harness::new("tcp://0.0.0.0:1", None);
    let text = harness.ask(local_client(), "POST /drain HTTP/1.1\nhost: 127.0.0.1\n\n").await.unwrap();
    assert!(text.starts_with("HTTP/1.1 403 Forbidden\r\n") && text.contains("admin_token_file"), "{text}");
    let logged = harness.logged();
    assert!(logged[0].starts_with("refused to drain for 127.0.0.1:4711: this changes the server"), "{logged:?}");

    let harness = Harness::new("tcp://0.0.0.0:1", Some("0123456789abcdef"));
    for _ in 0..3 {
        let text = harness.ask(local_client(), "POST /drain HTTP/1.1\nhost: 127.0.0.1\n\n").await.unwrap();
        assert!(text.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{text}");
        assert!(text.contains("\r\nwww-authenticate: Bearer realm=\"tidegate\"\r\n"), "{text}");
    }
    assert_eq!(harness.asked(), 0);
    assert_eq!(harness.logged().len(), 1, "a client can't fill the log");
    let answer =
        harness.ask(local_client(), "POST /drain HTTP/1.1\nhost: x\nauthorization: Bearer 0123456789abcdef\n\n");
    assert!(answer.await.unwrap().starts_with("HTTP/1.1 403 "), "a name that is not the listener's");
    assert_eq!(harness.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn drains_when_asked_with_authority_and_answers_when_it_has() {
    let token = "POST /drain HTTP/1.1\nhost: 10.0.0.8:9394\nauthorization: Bearer 0123456789abcdef\n\n";
    let process = AdminClient::Unix(None);
    for (harness, client, post, name) in [
        (Harness::new("tcp://0.0.0.0:1", Some("0123456789abcdef")), local_client(), token, "127.0.0.1:4711"),
        (Harness::new("unix://x", None), process, "POST /drain HTTP/1.1\nhost: localhost\n\n", "the Unix socket"),
    ] {
        let get = post.replace("POST", "GET");
        assert!(harness.ask(client, &get).await.unwrap().contains("405 "));
        assert_eq!(harness.asked(), 0);

        let answer = harness.ask(client, post);
        let now = now();
        let later = now + Duration::from_secs(60);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(harness.asked(), 1);
        assert_eq!(harness.logged(), [format!("asked to drain by {name}")]);
        harness.phase.send_replace(Phase::Draining { since: now, pace: Duration::from_secs(60), until: later });
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(!answer.is_finished());
        harness.phase.send_replace(Phase::Closing { since: later, deadline: later, gently: true });
        assert!(answer.await.unwrap().contains("200 OK"));
    }
}

/// 400 half heads took every descriptor, for 10 s; an answer that its client did not take was waited for without end.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_waited_for_gives_way_and_has_three_seconds() {
    let harness = Harness::new("unix://x", None);
    let (half, whole) = ("GET /livez HT", "GET /metrics HTTP/1.1\nhost: localhost\n\n");
    for text in ["", half, whole] {
        let begun = now();
        let (_client, task) = harness.send(local_client(), text).await;
        task.await.unwrap();
        let lasted = now() - begun;
        assert!(CLIENT_TIMEOUT <= lasted && lasted < 2 * CLIENT_TIMEOUT, "{text:?} {lasted:?}");

        let (_client, task) = harness.send(local_client(), text).await;
        let begun = now();
        assert!(harness.limit.evict(), "{text:?}");
        task.await.unwrap();
        assert!(now() - begun < CLIENT_TIMEOUT, "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_the_drain_gives_way_to_none() {
    let harness = Harness::new("unix://x", None);
    let (mut client, task) = harness.send(AdminClient::Unix(None), "POST /drain HTTP/1.1\nhost: localhost\n\n").await;
    assert!(!harness.limit.evict());
    sleep(10 * CLIENT_TIMEOUT).await;
    assert!(!task.is_finished());
    harness.phase.send_replace(Phase::Closing { since: now(), deadline: now(), gently: true });
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
}

fn wait(queue: &Arc<DispatchQueue>, queued: Instant) -> Awaited {
    let (head, ()) = http::Request::get("/").body(()).unwrap().into_parts();
    let peer = Arc::new(Peer::unix());
    let request = Waiting { head, body: RequestBody::Empty, peer, received: queued, queued };
    let (exchange, answer) = Exchange::new(request, None);
    queue.submit(exchange).unwrap();
    answer
}

/// All probes logged ready while nothing ran the app any more.
#[tokio::test(start_paused = true)]
async fn is_dead_when_requests_wait_and_nothing_runs_the_app() {
    const LIVEZ: &str = "GET /livez HTTP/1.1\nhost: x\n\n";
    let harness = Harness::new("tcp://0.0.0.0:1", None);
    let answer = wait(&harness.queue, now());
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(harness.ask(local_client(), LIVEZ).await.unwrap().contains("200 OK"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..3 {
        let text = harness.ask(local_client(), LIVEZ).await.unwrap();
        assert!(text.contains("503 Service") && text.contains("\r\n\r\ndead: requests have waited for 61."), "{text}");
    }
    let events = harness.logged();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].starts_with("/livez fails: 1 request has waited for up to 61.0 s"), "{events:?}");
    let worker = harness.queue.register();
    drop(worker.look());
    assert!(harness.ask(local_client(), LIVEZ).await.unwrap().contains("200 OK"), "there is life again");
    drop(answer);
}

const TOKEN: &str = "0123456789abcdef";

/// The body of an answer with its status, as in `200 {"status":"ok"}`.
fn said(text: &str) -> String {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    format!("{} {}", head.split(' ').nth(1).unwrap(), body.trim_end())
}

#[tokio::test]
async fn the_page_is_complete_and_takes_nothing_from_elsewhere() {
    let harness = Harness::new("tcp://0.0.0.0:1", None);
    for (path, kind, part) in
        [("/", "text/html", "/page.js"), ("/page.css", "text/css", "{"), ("/page.js", "text/javascript", "fetch(")]
    {
        let text = harness.ask(local_client(), &format!("GET {path} HTTP/1.1\nhost: x\n\n")).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-type: {kind}")), "{head}");
        assert!(head.contains("\r\ncontent-security-policy: default-src 'none'; script-src 'self'; "), "{head}");
        assert!(head.contains("\r\nx-content-type-options: nosniff"), "{head}");
        assert!(body.contains(part), "{path}");
        // The policy forbids them: they would be without effect.
        for refused in ["://", " style=\"", " onclick=", "<style", "innerHTML", "insertAdjacentHTML", "@import"] {
            let body = body.replace("http://www.w3.org/2000/svg", "");
            assert!(!body.contains(refused), "{path} has {refused}");
        }
        let post = harness.ask(local_client(), &format!("POST {path} HTTP/1.1\nhost: x\n\n")).await.unwrap();
        assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
        let head = harness.ask(local_client(), &format!("HEAD {path} HTTP/1.1\nhost: x\n\n")).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    }
}

#[tokio::test(start_paused = true)]
async fn shows_its_phase_with_the_time_left_and_its_settings() {
    let harness = Harness::new("tcp://0.0.0.0:1", None);
    let get = |path: &str| harness.ask(local_client(), &format!("GET {path} HTTP/1.1\nhost: x\n\n"));
    let ready = said(&get("/status").await.unwrap());
    let plan = "\"plan\":{\"drain_delay\":0.0,\"shutdown_timeout\":30.0,\"budget\":null,\"drain_until_quiet\":false}";
    assert_eq!(ready, format!("200 {{\"phase\":\"ready\",\"in_flight\":0,\"connections\":0,{plan}}}"));
    let until = now() + Duration::from_millis(4210);
    harness.phase.send_replace(Phase::Draining { since: now(), pace: Duration::from_secs(9), until });
    let draining = said(&get("/status").await.unwrap());
    assert!(draining.starts_with("200 {\"phase\":\"draining\",\"seconds_left\":4.2,"), "{draining}");
    assert_eq!(said(&get("/settings").await.unwrap()), "200 [{\"name\":\"port\"}]");
    let post = harness.ask(local_client(), "POST /settings HTTP/1.1\nhost: x\n\n");
    assert!(post.await.unwrap().starts_with("HTTP/1.1 405 "));
}

#[tokio::test(start_paused = true)]
async fn commands_end_the_server_without_the_interpreter() {
    let harness = Harness::new("tcp://127.0.0.1:1", Some(TOKEN));
    let bearer = format!("host: localhost\nauthorization: Bearer {TOKEN}");
    for (request, expected, asked) in [
        (format!("POST /stop HTTP/1.1\n{bearer}\n\n"), "200 {\"status\":\"ok\"}", 1),
        (format!("POST /halt HTTP/1.1\n{bearer}\n\n"), "200 {\"status\":\"ok\"}", 100),
        // As Puma's pumactl has it.
        (format!("GET /stop?token={TOKEN} HTTP/1.0\n\n"), "200 {\"status\":\"ok\"}", 1),
        (format!("GET /stop HTTP/1.1\n{bearer}\n\n"), "405 {\"error\":\"/stop takes POST\"}", 0),
        (format!("HEAD /halt?token={TOKEN} HTTP/1.1\nhost: localhost\n\n"), "405 ", 0),
        ("GET /stop?token=x HTTP/1.0\n\n".into(), "403 the token in the query is not the admin_token", 0),
        (format!("POST /stop HTTP/1.1\n{bearer}\norigin: null\n\n"), "403 a page of a browser may not ask", 0),
    ] {
        let text = said(&harness.ask(local_client(), &request).await.unwrap());
        assert!(text.starts_with(expected), "{request} {text}");
        assert_eq!(harness.asked.swap(0, Ordering::SeqCst), asked, "{request}");
    }
    let logged = harness.logged();
    assert_eq!(logged[..2], ["command stop from 127.0.0.1:4711", "command halt from 127.0.0.1:4711"]);
    assert!(logged[3].starts_with("refused the command stop of 127.0.0.1:4711: the token"), "{logged:?}");
}

/// A thread of the interpreter that answers so many questions, each by the question's name.
fn answering(questions: &Questions, answers: Vec<Reply>) -> std::thread::JoinHandle<Vec<&'static str>> {
    let (questions, (ready, attending)) = (questions.clone(), std::sync::mpsc::channel());
    let thread = std::thread::spawn(move || {
        let (parker, mut names) = (Parker::new(), Vec::new());
        parker.unparker().unpark();
        assert_eq!(questions.next(&parker), NextQuestion::Nothing);
        ready.send(()).unwrap();
        for answer in answers {
            loop {
                if let NextQuestion::Question(id, name) = questions.next(&parker) {
                    names.push(name);
                    questions.answer(id, answer);
                    break;
                }
            }
        }
        names
    });
    attending.recv().unwrap();
    thread
}

#[tokio::test]
async fn other_commands_are_answered_by_the_interpreter() {
    let harness = Harness::new("unix://x", None);
    let post = |path: &str| harness.ask(AdminClient::Unix(None), &format!("POST {path} HTTP/1.1\nhost: localhost\n\n"));
    let unavailable = "404 {\"error\":\"phased_restart not available\"}";
    assert_eq!(said(&post("/phased-restart").await.unwrap()), unavailable, "no thread answers");

    let replies = vec![Reply::Done("{\"count\":3}".into()), Reply::Unavailable, Reply::Failed("it boots".into())];
    let thread = answering(&harness.questions, replies);
    let stats = harness.ask(AdminClient::Unix(None), "GET /gc-stats HTTP/1.1\nhost: localhost\n\n");
    assert_eq!(said(&stats.await.unwrap()), "200 {\"count\":3}");
    assert_eq!(said(&post("/phased-restart").await.unwrap()), unavailable);
    assert_eq!(said(&post("/restart").await.unwrap()), "409 {\"error\":\"it boots\"}");
    assert_eq!(thread.join().unwrap(), ["gc-stats", "phased-restart", "restart"]);
    let logged = ["command phased-restart", "command phased-restart", "command restart"];
    assert_eq!(
        harness.logged(),
        logged.map(|line| format!("{line} from the Unix socket")),
        "what only looks is not logged"
    );
}

/// A C extension may hold the GVL for minutes, and an operator asks just then.
#[tokio::test(start_paused = true)]
async fn a_command_is_not_waited_for_without_end() {
    let harness = Harness::new("unix://x", None);
    answering(&harness.questions, Vec::new()).join().unwrap();
    let get = "GET /thread-backtraces HTTP/1.1\nhost: localhost\n\n";
    let asked: Vec<_> = (0..9).map(|_| harness.ask(AdminClient::Unix(None), get)).collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(said(&answer.await.unwrap()));
    }
    assert!(answers[0].starts_with("504 {\"error\":\"Ruby has not answered within 10 s: "), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.starts_with("504 ")).count(), 8);
    assert_eq!(answers[8], "503 {\"error\":\"too many commands wait for Ruby; try again later\"}");
    assert!(
        harness
            .ask(AdminClient::Unix(None), "POST /stop HTTP/1.1\nhost: localhost\n\n")
            .await
            .unwrap()
            .contains("200 OK")
    );
}
