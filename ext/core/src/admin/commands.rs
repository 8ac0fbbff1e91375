//! The commands that clients of the admin listener may give, under the names of Puma's control app. Those that end the server need
//! no interpreter; the others are questions for it.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use tokio::time::timeout;

use super::{
    Admin, AdminClient, deny,
    questions::{NotAsked, Questions, Reply},
    siblings,
};
use crate::{
    cluster::Member,
    http::{probe, response::Response},
    lifecycle::plan::Plan,
    log::event::LogEvent,
};

/// How long the interpreter may take over a question.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) const NO_ANSWER: &str =
    "Ruby has not answered within 10 s: a thread may hold its lock. /stop, /drain and /halt work without it";

/// What the admin listener needs of the server beside its numbers.
pub(crate) struct Steering {
    /// Ends the server.
    pub(crate) end: Box<dyn Fn(Ending) + Send + Sync>,
    /// What goes to the interpreter. They end with the admin listener.
    pub(crate) questions: Questions,
    /// The delays of the shutdown.
    pub(crate) plan: Plan,
    /// The settings with their origins, a JSON text.
    pub(crate) settings: bytes::Bytes,
    /// The server's place in a cluster, where it is one of its workers.
    pub(crate) member: Option<Member>,
}

impl Drop for Steering {
    fn drop(&mut self) {
        self.questions.close();
    }
}

/// How the server is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As SIGTERM would have it.
    Drain,
    /// At once: requests in flight are cut.
    Halt,
}

/// One command.
pub(super) struct Command {
    /// Its path without the slash.
    name: &'static str,
    action: Action,
    /// Whether GET will do for it, as for what changes nothing.
    get: bool,
}

#[derive(Clone, Copy)]
enum Action {
    End(Ending),
    /// A question for the interpreter of the worker that the client has come to.
    Ask,
    /// A question for those of all workers.
    AskAll,
}

impl Command {
    const fn end(name: &'static str, ending: Ending) -> Self {
        Self { name, action: Action::End(ending), get: false }
    }

    const fn ask(name: &'static str) -> Self {
        Self { name, action: Action::Ask, get: false }
    }

    const fn read(name: &'static str) -> Self {
        Self { name, action: Action::AskAll, get: true }
    }

    /// The command of that path.
    pub(super) fn of(path: &str) -> Option<&'static Self> {
        let name = path.strip_prefix('/')?;
        COMMANDS.iter().find(|command| command.name == name)
    }

    /// Whether a client may use that method. Puma's own pumactl uses GET for all of them, and shows by the token in the query that
    /// it is no link that a browser has followed.
    fn takes(&self, head: &Parts) -> bool {
        match head.method {
            Method::POST => true,
            Method::GET => self.get || has_query_token(head),
            _ => false,
        }
    }
}

const COMMANDS: [Command; 11] = [
    Command::end("stop", Ending::Drain),
    Command::end("halt", Ending::Halt),
    Command::ask("restart"),
    Command::ask("phased-restart"),
    Command::ask("refork"),
    Command::ask("worker-count-up"),
    Command::ask("worker-count-down"),
    Command::ask("reopen-log"),
    Command::read("gc"),
    Command::read("gc-stats"),
    Command::read("thread-backtraces"),
];

/// The name of a question that goes to all workers.
pub(super) fn for_all(name: &[u8]) -> Option<&'static str> {
    let asked = COMMANDS.iter().filter(|command| matches!(command.action, Action::AskAll));
    asked.map(|command| command.name).find(|known| known.as_bytes() == name)
}

fn has_query_token(head: &Parts) -> bool {
    query_token(head).is_some()
}

/// The token that the query brings, as Puma's pumactl sends it: as it is, without escapes.
pub(super) fn query_token(head: &Parts) -> Option<&str> {
    head.uri.query()?.split(['&', ';']).find_map(|pair| pair.strip_prefix("token="))
}

impl Admin {
    pub(super) async fn command(&self, command: &Command, head: &Parts, client: AdminClient) -> Response {
        if !command.takes(head) {
            let allowed = if command.get { "GET, POST" } else { "POST" };
            let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &format!("/{} takes {allowed}", command.name));
            response.headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            return response;
        }
        if let Err(denial) = self.authority.may_change(head) {
            self.log_refusal(command.name, client, &denial);
            return deny(denial);
        }
        if !command.get {
            (self.observer)(&LogEvent::CommandAsked { command: command.name, by: &client.to_string() });
        }
        match command.action {
            Action::End(ending) => {
                (self.steering.end)(ending);
                json(StatusCode::OK, "{\"status\":\"ok\"}\n".into())
            }
            Action::Ask => self.ask(command.name).await,
            Action::AskAll => match &self.steering.member {
                Some(member) => {
                    let replies = siblings::ask_all(member, &self.steering.questions, command.name).await;
                    json(StatusCode::OK, replies + "\n")
                }
                None => self.ask(command.name).await,
            },
        }
    }

    /// Has the interpreter answer, and says so when it does not.
    async fn ask(&self, name: &'static str) -> Response {
        let replied = match self.steering.questions.ask(name) {
            Ok(replied) => replied,
            Err(NotAsked::Unattended) => return unavailable(name),
            Err(NotAsked::Full) => {
                return error(StatusCode::SERVICE_UNAVAILABLE, "too many commands wait for Ruby; try again later");
            }
        };
        match timeout(ANSWER_TIMEOUT, replied).await {
            Ok(Ok(Reply::Done(text))) => json(StatusCode::OK, text + "\n"),
            Ok(Ok(Reply::Unavailable)) => unavailable(name),
            Ok(Ok(Reply::Failed(sentence))) => error(StatusCode::CONFLICT, &sentence),
            Ok(Err(_)) => error(StatusCode::SERVICE_UNAVAILABLE, "the server has ended"),
            Err(_) => error(StatusCode::GATEWAY_TIMEOUT, NO_ANSWER),
        }
    }
}

/// In Puma's words.
fn unavailable(name: &str) -> Response {
    error(StatusCode::NOT_FOUND, &format!("{} not available", name.replace('-', "_")))
}

fn error(status: StatusCode, sentence: &str) -> Response {
    json(status, format!("{}\n", serde_json::json!({ "error": sentence })))
}

/// A JSON text that is never kept for later.
pub(super) fn json(status: StatusCode, text: String) -> Response {
    let mut response = probe::text(status, text);
    response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
