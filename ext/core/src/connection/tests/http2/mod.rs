//! HTTP/2 on a connection, spoken by h2's own client, or frame by frame.

mod drain;
mod exchanges;
mod flow;
mod hijack;

use h2::client::{self, ResponseFuture, SendRequest};
use http::Request;

use super::*;

type Sender = SendRequest<Bytes>;

/// A client that has begun with HTTP/2. The task that speaks for it ends when the connection does.
async fn speak(client: Client) -> (Sender, JoinHandle<Result<(), h2::Error>>) {
    let (sender, connection) = client::handshake(client.stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("http://x{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

async fn get(sender: &mut Sender, path: &str) -> ResponseFuture {
    std::future::poll_fn(|cx| sender.poll_ready(cx)).await.unwrap();
    sender.send_request(request("GET", path, &[]), true).unwrap().0
}

async fn text(response: ResponseFuture) -> (u16, String) {
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        text.extend_from_slice(&data);
    }
    (head.status.as_u16(), String::from_utf8(text).unwrap())
}

fn response_of(body: ResponseBody) -> Response {
    response(200, &[], body)
}

/// A client that reads and writes frames itself.
struct Wire {
    client: Client,
}

type Frame = (u8, u8, u32, Vec<u8>);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET http://x/`, from HPACK's static table but for the authority.
const GET_FIELDS: &[u8] = &[0x82, 0x84, 0x86, 0x41, 1, b'x'];

impl Wire {
    async fn begin(harness: &Harness) -> Self {
        let mut wire = Self { client: harness.connect() };
        wire.client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        wire.send(SETTINGS, 0, 0, &[]).await;
        wire
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.client.stream.write_all(&frame).await.unwrap();
    }

    async fn get(&mut self, stream: u32) {
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, GET_FIELDS).await;
    }

    /// The next frame; `None` at the end.
    async fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        if self.client.stream.read_exact(&mut head).await.is_err() {
            return None;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.client.stream.read_exact(&mut payload).await.unwrap();
        Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// The next frame of what matters to requests and to the end.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.frame().await {
                Some((SETTINGS | WINDOW_UPDATE, ..)) => {}
                frame => return frame,
            }
        }
    }

    async fn expect_goaway(&mut self, last: u32) {
        let (kind, _, _, payload) = self.next().await.unwrap();
        assert_eq!((kind, &payload), (GOAWAY, &[last.to_be_bytes(), [0; 4]].concat()));
    }

    /// The PING behind the first GOAWAY.
    async fn expect_ping(&mut self) -> Vec<u8> {
        let (kind, flags, _, payload) = self.next().await.unwrap();
        assert_eq!((kind, flags), (PING, 0));
        payload
    }

    async fn expect_response(&mut self, stream: u32) {
        let (kind, _, of, _) = self.next().await.unwrap();
        assert_eq!((kind, of), (HEADERS, stream));
        let (kind, flags, of, payload) = self.next().await.unwrap();
        assert_eq!((kind, flags, of, payload.as_slice()), (DATA, END_STREAM, stream, &b"x"[..]));
    }
}

const ALL: u32 = (1 << 31) - 1;

fn closing(budget: u64) -> Phase {
    Phase::Closing { since: now(), deadline: now() + s(budget), gently: true }
}
