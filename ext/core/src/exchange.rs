//! An exchange: one request and the one chance to answer it, on its way from a connection to a worker.

use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::oneshot;

use crate::{
    interim::Interim,
    request::Request,
    response::Response,
    takeover::{TakeOver, Takeover},
    wake::Waker,
};

/// A request with its responder.
#[derive(Debug)]
pub struct Exchange {
    /// What the client wants.
    pub request: Request,
    /// Where the answer goes.
    pub responder: Responder,
}

/// Sends the response, once. Dropped unsent, the client gets 500.
#[derive(Debug)]
pub struct Responder {
    answer: oneshot::Sender<Answer>,
    /// Where hints go; none where the client's HTTP knows no interim responses.
    interim: Option<Arc<Interim>>,
}

/// How an exchange ends.
#[derive(Debug)]
pub(crate) enum Answer {
    Response(Response),
    /// The app speaks to the client itself from now on.
    TakeOver(TakeOver),
}

/// The connection's end: resolves to the answer, or to an error when the responder was dropped.
pub(crate) type Awaited = oneshot::Receiver<Answer>;

impl Exchange {
    pub(crate) fn new(request: Request, interim: Option<Arc<Interim>>) -> (Self, Awaited) {
        let (answer, awaited) = oneshot::channel();
        (Self { request, responder: Responder { answer, interim } }, awaited)
    }
}

impl Responder {
    /// Sends the response head, with its body or the first of it.
    ///
    /// # Errors
    ///
    /// The response, when the client has gone.
    pub fn send(self, response: Response) -> Result<(), Box<Response>> {
        self.answer.send(Answer::Response(response)).map_err(|answer| match answer {
            Answer::Response(response) => Box::new(response),
            Answer::TakeOver(_) => Box::new(Response::app_failed()),
        })
    }

    /// Sends `head` and asks for the connection itself, in place of a response. `waker` rings when
    /// [`Takeover::progress`] has something to say.
    pub fn take_over(self, head: Vec<u8>, waker: Waker) -> Takeover {
        let (request, takeover) = TakeOver::new(head, waker);
        // Dropped unseen, it says by itself that the client has gone.
        drop(self.answer.send(Answer::TakeOver(request)));
        takeover
    }

    /// Sends 103 Early Hints (RFC 8297) ahead of the response, if the client's HTTP has such a thing. May be repeated.
    pub fn hint(&self, headers: &HeaderMap) {
        if let Some(interim) = &self.interim {
            interim.hint(headers);
        }
    }

    /// Whether the client has gone, so that nobody waits for an answer.
    pub fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }
}
