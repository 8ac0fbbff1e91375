//! An exchange: one request and the one chance to answer it, on its way from a connection to a worker.

use tokio::sync::oneshot;

use crate::{request::Request, response::Response};

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
pub struct Responder(oneshot::Sender<Response>);

/// The connection's end: resolves to the response, or to an error when the responder was dropped.
pub(crate) type Answer = oneshot::Receiver<Response>;

impl Exchange {
    pub(crate) fn new(request: Request) -> (Self, Answer) {
        let (sender, answer) = oneshot::channel();
        (Self { request, responder: Responder(sender) }, answer)
    }
}

impl Responder {
    /// Sends the response head, with its body or the first of it.
    ///
    /// # Errors
    ///
    /// The response, when the client has gone.
    pub fn send(self, response: Response) -> Result<(), Box<Response>> {
        self.0.send(response).map_err(Box::new)
    }

    /// Whether the client has gone, so that nobody waits for an answer.
    pub fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}
