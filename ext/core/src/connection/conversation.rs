//! A connection with a client that is bytes, and with a stand-in for the app, in a runtime of its own: what `spec/corpus` says is
//! held against it, and `fuzz` plays it with anything. Time stands still, so that no deadline has a part in it.

// What goes wrong here fails the test.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    task::yield_now,
};

use super::{ConnectionSettings, Services, Shared, serve};
use crate::{
    config::{Http2, Limits, Probes, Timeouts},
    drain::Traffic,
    exchange::Exchange,
    http::{
        body::{NextPiece, ReadError, RequestBody, ResponseBody, channel},
        date::DateHeader,
        request::{Peer, RawTarget},
        response::Response,
    },
    lifecycle::Phase,
    log::warnings::Warnings,
    pool::{DispatchQueue, Next},
    stats::{Label, SharedStats, refused::Refused},
    sync::{Parker, inline_task},
};

/// How often the tasks of a connection may have a turn without anything coming of it before it counts as waiting.
const TURNS: usize = 500;

/// What came of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conversation {
    /// The requests that the app got.
    pub(crate) heard: Vec<Heard>,
    /// What the client got.
    pub(crate) answered: Vec<u8>,
    /// The server waits for more, instead of having ended the connection.
    pub(crate) waits: bool,
    /// Why the server itself refused requests, as the metrics call it.
    pub(crate) refused: Vec<&'static str>,
}

/// A request as the app got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) target: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// Sends `pieces`, each when the server has had time to read the one before, and perhaps `ends` the client's side behind them.
pub(crate) fn converse(pieces: &[&[u8]], ends: bool, limits: Limits) -> Conversation {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (shared, _phase) = shared(limits);
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let (client, server) = tokio::io::duplex(length + (1 << 20));
        let (mut output, mut input) = tokio::io::split(client);
        let stats = shared.services.stats.clone();
        let open = stats.connection_accepted();
        let serving = tokio::spawn(inline_task::task(serve(server, Peer::unix(), shared.clone(), open)));

        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (queue, list) = (shared.services.queue.clone(), heard.clone());
        let app = tokio::spawn(async move {
            let worker = queue.register();
            loop {
                match worker.look() {
                    Next::Exchange(exchange) => answer(*exchange, &list).await,
                    Next::Nothing => yield_now().await,
                    Next::Over => return,
                }
            }
        });

        for piece in pieces {
            // The server may have ended the connection.
            if input.write_all(piece).await.is_err() {
                break;
            }
            for _ in 0..3 {
                yield_now().await;
            }
        }
        if ends {
            // As above.
            let _ = input.shutdown().await;
        }
        let mut answered = Vec::new();
        let waits = loop {
            let turns = async {
                for _ in 0..TURNS {
                    yield_now().await;
                }
            };
            tokio::select! {
                biased;
                read = output.read_buf(&mut answered) => if !matches!(read, Ok(1..)) {
                    break false;
                },
                () = turns => break true,
            }
        };
        drop((output, input));
        app.abort();
        serving.abort();
        // A panic of either is one of the test that has begun this.
        for ended in [app.await, serving.await] {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
        let times = |reason: &Refused| usize::try_from(stats.refused.get(*reason)).unwrap_or(usize::MAX);
        let refused = Refused::ALL.iter().flat_map(|reason| vec![reason.name(); times(reason)]).collect();
        let heard = std::mem::take(&mut *heard.lock().unwrap());
        Conversation { heard, answered, waits, refused }
    })
}

fn shared(limits: Limits) -> (Arc<Shared>, watch::Sender<Phase>) {
    let stats = SharedStats::default();
    let (phase, phases) = watch::channel(Phase::Ready);
    let settings = ConnectionSettings {
        timeouts: Timeouts::default(),
        limits,
        http2: Http2::default(),
        probes: Probes::default(),
        added_headers: Default::default(),
        forwarding: Default::default(),
        request_timeout: None,
        spool_directory: std::env::temp_dir(),
    };
    let services = Services {
        queue: DispatchQueue::new(limits.max_queue, None, 1, stats.clone()),
        stats,
        phase: phases,
        traffic: Arc::new(Traffic::new(false)),
        access_log: None,
        date: DateHeader::default(),
        warnings: Arc::new(Warnings::reported_to(Arc::new(|_| {}))),
        siblings: None,
    };
    (Shared::new(settings, services, 1000), phase)
}

/// What the app does, by the path: `/status/204` is a status without a body, `/stream` a body without a length, in two chunks;
/// anything else is `ok`. `spec/http/corpus_spec.rb` has the same app.
async fn answer(exchange: Exchange, heard: &Mutex<Vec<Heard>>) {
    let Exchange { request, responder } = exchange;
    let head = &request.head;
    let target = match head.extensions.get::<RawTarget>() {
        Some(raw) => raw.as_bytes().to_vec(),
        None => head.uri.to_string().into_bytes(),
    };
    let path = head.uri.path().to_owned();
    let method = head.method.to_string();
    let body = match read(request.body).await {
        Ok(body) => body,
        Err(error) => return responder.refuse(error),
    };
    heard.lock().unwrap().push(Heard { method, target, body });
    let status = path.strip_prefix("/status/").and_then(|code| code.parse::<u16>().ok());
    let status = status.and_then(|code| StatusCode::from_u16(code).ok()).filter(|status| status.as_u16() >= 200);
    if let Some(status) = status {
        // The client may have gone, here and below.
        let _ = responder.send(Response { status, headers: HeaderMap::new(), body: ResponseBody::Empty });
    } else if path == "/stream" {
        let (sender, receiver) = channel();
        let body = ResponseBody::Stream(receiver);
        let _ = responder.send(Response { status: StatusCode::OK, headers: HeaderMap::new(), body });
        for chunk in [b"a".as_slice(), b"b"] {
            let _ = sender.try_send(Bytes::from_static(chunk), &Parker::new().unparker());
        }
        sender.finish();
    } else {
        let _ = responder.send(Response::text(StatusCode::OK, "ok"));
    }
}

/// The whole body.
async fn read(body: RequestBody) -> Result<Vec<u8>, ReadError> {
    match body {
        RequestBody::Empty => Ok(Vec::new()),
        RequestBody::Memory(body) => Ok(body.to_vec()),
        RequestBody::File { mut file, .. } => {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut file, &mut content).map(|_| content).map_err(|_| ReadError::Lost)
        }
        RequestBody::Stream(stream) => {
            let mut content = Vec::new();
            loop {
                match stream.next(&Parker::new().unparker()) {
                    NextPiece::Piece(bytes) => content.extend_from_slice(&bytes),
                    NextPiece::Nothing => yield_now().await,
                    NextPiece::Whole => return Ok(content),
                    NextPiece::Broken(error) => return Err(error),
                    NextPiece::Closed => return Err(ReadError::Lost),
                }
            }
        }
    }
}
