//! Questions for all workers of a cluster. The worker that a client has asked sends each sibling the question with a socket for the
//! reply, through the inbox that connections are handed over by, and puts the replies together.
//!
//! A reply is a byte for its outcome with a text behind it, up to the end of the stream.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream as StdUnixStream},
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinSet,
    time::timeout,
};

use super::{
    commands::{ANSWER_TIMEOUT, NO_ANSWER},
    questions::{Questions, Reply},
};
use crate::cluster::{
    Member, WorkerState,
    handover::{Message, Traits},
};

/// The most bytes of a sibling's reply.
const MOST: u64 = 16 * 1024 * 1024;

const DONE: u8 = b'd';
const FAILED: u8 = b'f';
const UNAVAILABLE: u8 = b'u';

/// How long a sibling may take in addition, for the way.
const TRANSIT: Duration = Duration::from_secs(1);

/// The replies of all workers.
#[derive(Serialize)]
struct Replies {
    workers: Vec<OfWorker>,
}

#[derive(Serialize)]
struct OfWorker {
    index: usize,
    pid: u32,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result(Value),
    Error(String),
}

/// Asks this worker's interpreter and those of its siblings, at the same time; a JSON text with a reply or an error of each.
pub(super) async fn ask_all(member: &Member, questions: &Questions, name: &'static str) -> String {
    let mut asked = JoinSet::new();
    for worker in member.cluster().workers() {
        let own = worker.slot == member.slot();
        // Those that boot or leave do not read what siblings send.
        let reads = matches!(worker.state, WorkerState::Serving | WorkerState::Draining | WorkerState::Closing);
        if !own && !reads {
            continue;
        }
        let (member, questions) = (member.clone(), questions.clone());
        asked.spawn(async move {
            let outcome =
                if own { outcome(ask(&questions, name).await) } else { ask_sibling(&member, worker.slot, name).await };
            OfWorker { index: worker.index, pid: worker.pid, outcome }
        });
    }
    let mut workers = asked.join_all().await;
    workers.sort_by_key(|worker| (worker.index, worker.pid));
    // Strings and numbers can always be written.
    serde_json::to_string(&Replies { workers }).unwrap_or_default()
}

async fn ask_sibling(member: &Member, slot: usize, name: &str) -> Outcome {
    let replied = async {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let traits = Traits { question: true, ..Traits::default() };
        member.inbox_of(slot).send(theirs.as_fd(), traits, name.as_bytes())?;
        drop(theirs);
        let mut reply = Vec::new();
        UnixStream::from_std(ours)?.take(MOST).read_to_end(&mut reply).await?;
        Ok::<_, io::Error>(reply)
    };
    match timeout(ANSWER_TIMEOUT + TRANSIT, replied).await {
        Ok(Ok(reply)) => outcome(decode(&reply)),
        Ok(Err(error)) => Outcome::Error(format!("it could not be asked: {error}")),
        Err(_) => Outcome::Error("it has not taken the question".into()),
    }
}

/// Answers a sibling's question, on the socket that has come with it.
pub(crate) async fn answer(message: Message, questions: Questions) {
    // Only what changes nothing, and is a question for all, comes from a sibling.
    let asked = super::commands::for_all(&message.read_ahead);
    let (Some(name), Ok(mut socket)) = (asked, socket(message)) else { return };
    let (outcome, text) = match ask(&questions, name).await {
        Reply::Done(text) => (DONE, text),
        Reply::Failed(text) => (FAILED, text),
        Reply::Unavailable => (UNAVAILABLE, String::new()),
    };
    let reply = [&[outcome], text.as_bytes()].concat();
    // A sibling that has gone needs no reply, and one that does not read it is not waited for.
    let _ = timeout(ANSWER_TIMEOUT, socket.write_all(&reply)).await;
}

fn socket(message: Message) -> io::Result<UnixStream> {
    UnixStream::from_std(StdUnixStream::from(message.socket))
}

/// This process's interpreter's reply, or why there is none.
async fn ask(questions: &Questions, name: &'static str) -> Reply {
    let Ok(replied) = questions.ask(name) else { return Reply::Failed("no thread answers".into()) };
    match timeout(ANSWER_TIMEOUT, replied).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(_)) => Reply::Failed("the worker has ended".into()),
        Err(_) => Reply::Failed(NO_ANSWER.into()),
    }
}

fn decode(reply: &[u8]) -> Reply {
    let Some((outcome, text)) = reply.split_first() else { return Reply::Failed("the worker has ended".into()) };
    let text = String::from_utf8_lossy(text).into_owned();
    match *outcome {
        DONE => Reply::Done(text),
        UNAVAILABLE => Reply::Unavailable,
        FAILED => Reply::Failed(text),
        _ => Reply::Failed("the worker is of another release".into()),
    }
}

fn outcome(reply: Reply) -> Outcome {
    match reply {
        Reply::Done(text) => {
            serde_json::from_str(&text).map_or_else(|_| Outcome::Error("its reply was cut".into()), Outcome::Result)
        }
        Reply::Failed(sentence) => Outcome::Error(sentence),
        Reply::Unavailable => Outcome::Error("not available".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::{admin::questions::NextQuestion, cluster::Cluster, sync::Parker};

    /// A worker whose interpreter replies so to everything, and which reads its inbox.
    fn worker(cluster: &std::sync::Arc<Cluster>, index: usize, reply: Option<Reply>) -> (Member, Questions) {
        let member = Member::new(cluster.clone(), cluster.reserve(index).unwrap());
        member.set_state(WorkerState::Serving);
        let questions = Questions::default();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let asked = questions.clone();
        thread::spawn(move || {
            let parker = Parker::new();
            parker.unparker().unpark();
            asked.next(&parker);
            ready.send(()).unwrap();
            while let Some(reply) = &reply {
                match asked.next(&parker) {
                    NextQuestion::Question(id, _) => asked.answer(id, reply.clone()),
                    NextQuestion::Nothing => {}
                    NextQuestion::Over => return,
                }
            }
        });
        is_ready.recv().unwrap();
        (member, questions)
    }

    fn read_inbox(member: &Member, questions: &Questions) -> tokio::task::JoinHandle<()> {
        let (member, questions) = (member.clone(), questions.clone());
        tokio::spawn(async move {
            loop {
                match member.inbox().receive() {
                    Ok(message) if message.traits.question => {
                        tokio::spawn(answer(message, questions.clone()));
                    }
                    Ok(_) => panic!("a connection"),
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        })
    }

    #[tokio::test]
    async fn every_worker_that_serves_answers_for_itself() {
        let cluster = Cluster::create(6).unwrap();
        let done = |text: &str| Some(Reply::Done(text.into()));
        let (asked, questions) = worker(&cluster, 1, done("{\"count\":1}"));
        let (sibling, others) = worker(&cluster, 0, done("{\"count\":2}"));
        let (failing, failures) = worker(&cluster, 2, Some(Reply::Failed("no".into())));
        let (leaving, _) = worker(&cluster, 3, done("{}"));
        leaving.set_state(WorkerState::Retiring);
        let readers = [read_inbox(&sibling, &others), read_inbox(&failing, &failures)];
        let pid = std::process::id();
        let expected = format!(
            "{{\"workers\":[{{\"index\":0,\"pid\":{pid},\"result\":{{\"count\":2}}}},\
             {{\"index\":1,\"pid\":{pid},\"result\":{{\"count\":1}}}},{{\"index\":2,\"pid\":{pid},\"error\":\"no\"}}]}}"
        );
        assert_eq!(ask_all(&asked, &questions, "gc-stats").await, expected);
        readers.iter().for_each(tokio::task::JoinHandle::abort);
        [questions, others, failures].iter().for_each(Questions::close);
    }

    /// One of the workers is stopped, or its interpreter is stuck, and an operator wants to know what the others do.
    #[tokio::test(start_paused = true)]
    async fn a_worker_that_does_not_answer_is_told_of_and_keeps_back_no_other() {
        let cluster = Cluster::create(6).unwrap();
        let (asked, questions) = worker(&cluster, 0, None);
        let (_stopped, _) = worker(&cluster, 1, None);
        let text = ask_all(&asked, &questions, "gc-stats").await;
        assert!(text.contains("\"index\":0") && text.contains("Ruby has not answered within 10 s"), "{text}");
        assert!(text.contains("\"error\":\"it has not taken the question\""), "{text}");
    }

    #[tokio::test]
    async fn a_sibling_is_asked_nothing_that_changes_it() {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let traits = Traits { question: true, ..Traits::default() };
        let message = Message { socket: theirs.into(), traits, read_ahead: b"halt".to_vec() };
        answer(message, Questions::default()).await;
        let mut reply = Vec::new();
        UnixStream::from_std(ours).unwrap().read_to_end(&mut reply).await.unwrap();
        assert!(reply.is_empty());
        assert!(matches!(decode(&reply), Reply::Failed(_)));
        assert!(matches!(decode(b"HTTP/1.1 400"), Reply::Failed(_)));
    }
}
