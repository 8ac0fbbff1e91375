//! Encrypted connections: how they end, and what rustls holds back between the socket and hyper.

use std::{
    fs,
    io::{self, ErrorKind},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::{
    config::Address,
    connection::{Opening, open},
    stats::handshakes::Handshake,
};

type Encrypted = TlsStream<DuplexStream>;

/// What an address is encrypted with, and a client that trusts it.
struct Both {
    opening: Arc<Opening>,
    client: TlsConnector,
}

impl Both {
    fn new() -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".into()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        fs::write(&certificate, cert.pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        let address = format!("ssl://h:1?cert={}&key={}", certificate.display(), key.display());
        let opening = Opening::of(Address::parse(&address).unwrap().wire()).unwrap().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(cert)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        Self { opening, client: Arc::new(client).into() }
    }

    /// A connection with a buffer of `size` bytes in each direction, in its task.
    fn begin(&self, harness: &Harness, size: usize) -> (DuplexStream, JoinHandle<()>) {
        let (ours, theirs) = tokio::io::duplex(size);
        let counted = harness.shared.services.stats.connection_accepted();
        let (opening, shared) = (self.opening.clone(), harness.shared.clone());
        (ours, tokio::spawn(inline_task::task(open(theirs, Peer::unix(), opening, shared, counted))))
    }

    /// The same with its handshake complete. Time stands still from then on.
    async fn connect(&self, harness: &Harness, size: usize) -> (Encrypted, JoinHandle<()>) {
        let (ours, serving) = self.begin(harness, size);
        let name = ServerName::try_from("localhost").unwrap();
        let client = self.client.connect(name, ours).await.unwrap();
        while harness.shared.services.stats.handshakes.get(Handshake::Complete) == 0 {
            yield_now().await;
        }
        tokio::time::pause();
        (client, serving)
    }
}

/// A little of it passed before time stood still.
fn to_the_second(duration: Duration) -> u64 {
    (duration + Duration::from_millis(500)).as_secs()
}

/// Reads to the end: what came, and how it ended.
async fn rest(client: &mut Encrypted) -> (String, io::Result<()>) {
    let mut text = Vec::new();
    let end = client.read_to_end(&mut text).await.map(drop);
    (without_date(std::str::from_utf8(&text).unwrap()), end)
}

fn is_cut(end: &io::Result<()>) -> bool {
    end.as_ref().is_err_and(|error| error.kind() == ErrorKind::UnexpectedEof)
}

#[tokio::test]
async fn a_silent_connection_ends_with_close_notify() {
    let harness = Harness::new();
    let (mut client, serving) = Both::new().connect(&harness, 1 << 20).await;
    let begun = now();
    assert!(matches!(rest(&mut client).await, (text, Ok(())) if text.is_empty()));
    assert_eq!(to_the_second(now() - begun), 30, "first_data_timeout, from the end of the handshake");
    drop(client);
    serving.await.unwrap();
}

/// Half a record is no request: a client could keep the connection with it for ever.
#[tokio::test]
async fn half_a_record_keeps_no_connection() {
    let harness = Harness::new();
    let (mut client, serving) = Both::new().connect(&harness, 1 << 20).await;
    client.get_mut().0.write_all(&[23, 3, 3, 1]).await.unwrap();
    let begun = now();
    assert!(rest(&mut client).await.1.is_ok());
    assert_eq!(to_the_second(now() - begun), 30);
    drop(client);
    serving.await.unwrap();
}

/// It may be the beginning of one that has just been sent.
#[tokio::test]
async fn half_a_record_at_the_last_moment_is_waited_for() {
    let harness = Harness::new();
    let (mut client, _serving) = Both::new().connect(&harness, 1 << 20).await;
    let mut sent = Vec::new();
    {
        let (socket, session) = client.get_mut();
        io::Write::write_all(&mut session.writer(), GET.as_bytes()).unwrap();
        session.write_tls(&mut sent).unwrap();
        tokio::time::sleep(s(29)).await;
        socket.write_all(&sent[..10]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        socket.write_all(&sent[10..]).await.unwrap();
    }
    harness.answer(ok("x")).await;
    let mut answer = [0; 64];
    let length = client.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200 OK\r\n"));
}

/// All of it fits into rustls' buffer, so that hyper has nothing more to write and only waits for the flush.
#[tokio::test]
async fn a_client_that_takes_nothing_of_a_small_response_is_given_up() {
    let harness = Harness::new();
    let (mut client, serving) = Both::new().connect(&harness, 4096).await;
    client.write_all(GET.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    let begun = now();
    let body = ResponseBody::Full(Bytes::from(vec![b'x'; 20_000]));
    harness.answer(response(200, &[], body)).await;
    serving.await.unwrap();
    assert_eq!((now() - begun).as_secs(), 60, "write_timeout");
    assert_eq!(harness.shared.services.stats.snapshot().too_slow, 1);
    assert!(is_cut(&rest(&mut client).await.1));
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_cut_without_close_notify() {
    let harness = Harness::new();
    let (mut client, serving) = Both::new().connect(&harness, 1 << 20).await;
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let body = harness.answer_with_stream(&[]).await;
    push(&body, "some");
    drop(body);
    let (text, end) = rest(&mut client).await;
    assert!(text.ends_with("\r\n\r\nsome"), "{text:?}");
    assert!(is_cut(&end), "{end:?}");
    drop(client);
    serving.await.unwrap();
}

#[tokio::test]
async fn half_a_handshake_gives_way_and_counts_as_open() {
    let harness = Harness::new();
    let (mut client, serving) = Both::new().begin(&harness, 1 << 20);
    client.write_all(&[22, 3, 1, 0, 200]).await.unwrap();
    while !harness.shared.bounds.connections.evict() {
        yield_now().await;
    }
    assert_eq!(harness.shared.services.stats.all_connections(), 1);
    serving.await.unwrap();
    assert_eq!(harness.shared.services.stats.snapshot().connections, 0);
    assert_eq!(harness.shared.services.stats.snapshot().gave_way, 1);
}

/// What rustls still had for a client that has gone was waited for until the end of the drain.
#[tokio::test]
async fn a_client_that_has_gone_holds_up_no_drain() {
    let harness = Harness::new();
    let both = Both::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let counted = harness.shared.services.stats.connection_accepted();
    let serving = tokio::spawn(inline_task::task(open(
        theirs,
        Peer::unix(),
        both.opening.clone(),
        harness.shared.clone(),
        counted,
    )));
    let mut client = both.client.connect(ServerName::try_from("localhost").unwrap(), ours).await.unwrap();
    client.write_all(GET.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    let exchange = harness.take().await;
    harness.enter(Phase::Closing { since: now(), deadline: now() + s(600), gently: false });
    drop(client);
    let _ = exchange.responder.send(ok("x"));
    tokio::time::timeout(s(20), serving).await.expect("it waits for a client that has gone").unwrap();
    assert_eq!(harness.shared.services.stats.snapshot().unacked_bytes, 0);
}
