//! What a proxy says of a connection before the client's own bytes come.

use super::*;
use crate::{config::WireOptions, connection::Opening, stats::proxied::ProxyRefused};

const HEADER: &str = "PROXY TCP4 192.0.2.1 198.51.100.1 4000 443\r\n";
/// A health check of the proxy's own.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

impl Harness {
    /// A server that believes proxies which connect over Unix sockets, or none.
    fn behind_proxy(trusted: bool) -> Self {
        let mut harness = Self::new();
        let names = if trusted { vec!["unix".to_owned()] } else { vec!["10.0.0.0/8".to_owned()] };
        let shared = Arc::get_mut(&mut harness.shared).expect("nothing else has it yet");
        shared.settings.forwarding.trusted_proxies = names.try_into().unwrap();
        harness
    }

    fn connect_proxy(&self) -> (UnixStream, JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let wire = WireOptions { proxy_protocol: Some(crate::config::ProxyVersions::Any), tls: None };
        let opening = Opening::of(&wire).unwrap().unwrap();
        let open = self.shared.services.stats.connection_accepted();
        let serving = super::super::open(theirs, Peer::unix(), opening, self.shared.clone(), open);
        (ours, tokio::spawn(inline_task::task(serving)))
    }

    fn refused(&self, reason: ProxyRefused) -> u64 {
        self.shared.services.stats.proxy_refused.get(reason)
    }
}

#[tokio::test]
async fn a_header_in_pieces_names_the_client_and_takes_nothing_of_what_is_behind_it() {
    let harness = Harness::behind_proxy(true);
    let (mut proxy, _) = harness.connect_proxy();
    for byte in HEADER.bytes() {
        proxy.write_all(&[byte]).await.unwrap();
        yield_now().await;
    }
    proxy.write_all(GET.as_bytes()).await.unwrap();
    let exchange = harness.take().await;
    let peer = &exchange.request.peer;
    assert_eq!((peer.remote_addr.as_str(), peer.remote_port, peer.local_port), ("192.0.2.1", 4000, 443));
    exchange.responder.send(ok("x")).unwrap();
    proxy.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(harness.take().await.request.peer.remote_addr, "192.0.2.1", "for all requests of the connection");
}

#[tokio::test]
async fn a_header_and_a_request_in_one_piece_are_two() {
    let harness = Harness::behind_proxy(true);
    let (mut proxy, _) = harness.connect_proxy();
    proxy.write_all([HEADER, GET].concat().as_bytes()).await.unwrap();
    let exchange = harness.take().await;
    assert_eq!(exchange.request.peer.remote_addr, "192.0.2.1");
    exchange.responder.send(ok("x")).unwrap();
}

#[tokio::test]
async fn what_is_no_header_is_refused_and_told_once() {
    let harness = Harness::behind_proxy(true);
    for (bytes, reason) in [
        (GET.as_bytes(), ProxyRefused::Missing),
        (b"PROXY nonsense\r\n", ProxyRefused::Malformed),
        (&[b'x'; 600], ProxyRefused::Missing),
    ] {
        let before = harness.refused(reason);
        let (mut proxy, serving) = harness.connect_proxy();
        proxy.write_all(bytes).await.unwrap();
        serving.await.unwrap();
        assert_eq!(harness.refused(reason), before + 1);
    }
    let told = harness.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("begins without a header of the PROXY protocol"), "{told:?}");
    assert_eq!(harness.shared.services.stats.snapshot().connections, 0);
}

#[tokio::test]
async fn an_address_that_is_not_trusted_is_refused_at_once() {
    let harness = Harness::behind_proxy(false);
    let (_proxy, serving) = harness.connect_proxy();
    serving.await.unwrap();
    assert_eq!(harness.refused(ProxyRefused::Untrusted), 1);
    assert!(harness.told()[0].contains("trusted_proxies does not name this address"));
}

#[tokio::test(start_paused = true)]
async fn a_header_has_to_be_there_in_time() {
    let harness = Harness::behind_proxy(true);
    let (mut proxy, serving) = harness.connect_proxy();
    proxy.write_all(b"PROXY ").await.unwrap();
    serving.await.unwrap();
    assert_eq!(harness.refused(ProxyRefused::Timeout), 1);
    assert!(harness.told()[0].contains("handshake_timeout"));
}

/// A proxy looks in this way whether the port is open.
#[tokio::test]
async fn a_connection_that_ends_before_its_header_is_no_fault() {
    let harness = Harness::behind_proxy(true);
    for bytes in [&b""[..], b"PROXY TCP4"] {
        let (mut proxy, serving) = harness.connect_proxy();
        proxy.write_all(bytes).await.unwrap();
        drop(proxy);
        serving.await.unwrap();
    }
    assert_eq!(harness.told(), Vec::<String>::new());
    assert_eq!(harness.shared.services.stats.snapshot().proxy_refused, 0);
}

#[tokio::test]
async fn a_health_check_of_the_proxy_is_served_and_is_no_traffic() {
    let harness = Harness::behind_proxy(true);
    let (mut proxy, _) = harness.connect_proxy();
    proxy.write_all(&[LOCAL, GET.as_bytes()].concat()).await.unwrap();
    let exchange = harness.take().await;
    assert_eq!(exchange.request.peer.remote_addr, "127.0.0.1");
    assert_eq!(harness.shared.services.traffic.last(), None);
    exchange.responder.send(ok("x")).unwrap();
    let (mut proxy, _) = harness.connect_proxy();
    proxy.write_all([HEADER, GET].concat().as_bytes()).await.unwrap();
    harness.answer(ok("x")).await;
    assert!(harness.shared.services.traffic.last().is_some());
}
