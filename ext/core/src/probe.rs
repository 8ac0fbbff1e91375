//! The probe endpoints: whether the process lives, whether it wants new clients, whether it still serves. They are
//! answered here, without the app, so that a busy app is not taken for a dead one.

use std::{convert::Infallible, sync::Arc, time::Duration, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};

use crate::{lifecycle::Phase, metrics::Report, stats::Stats};

/// A probe that takes longer than this, from connection to response, is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the probes tell about.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) stats: Arc<Stats>,
}

impl Probe {
    fn answer(&self, method: &Method, path: &str, now: Instant) -> (StatusCode, String) {
        let phase = *self.phase.borrow();
        let known = matches!(path, "/livez" | "/readyz" | "/servingz" | "/startupz");
        if !known {
            return (
                StatusCode::NOT_FOUND,
                "not found; try /livez, /readyz, /servingz, /startupz, /metrics or /stats\n".into(),
            );
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
        }
        let good = match path {
            "/livez" => phase != Phase::Booting,
            "/readyz" => phase == Phase::Ready,
            "/servingz" => matches!(phase, Phase::Ready | Phase::Draining { .. }),
            _ => phase != Phase::Booting,
        };
        let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, describe(phase, now, self.stats.snapshot().in_flight))
    }
}

fn describe(phase: Phase, now: Instant, in_flight: u64) -> String {
    let left = |until: Instant| until.saturating_duration_since(now).as_secs_f64();
    match phase {
        Phase::Booting | Phase::Ready => format!("{}\n", phase.name()),
        Phase::Draining { until, .. } => format!("draining, serving everything for {:.1} s more\n", left(until)),
        Phase::Closing { deadline, .. } => format!("closing, {in_flight} in flight, {:.1} s left\n", left(deadline)),
        Phase::Forcing { .. } | Phase::Stopped { .. } => format!("{}, {in_flight} in flight\n", phase.name()),
    }
}

/// Answers one probe and closes: a probe never keeps a connection alive.
pub(crate) async fn serve<S>(socket: S, probe: Arc<Probe>, report: Arc<Report>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request: Request<Incoming>| {
        let accept = request.headers().get(header::ACCEPT);
        if let Some(response) = report.answer(request.method(), request.uri().path(), accept) {
            return std::future::ready(Ok::<_, Infallible>(response));
        }
        let now = tokio::time::Instant::now().into_std();
        let (status, text) = probe.answer(request.method(), request.uri().path(), now);
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        std::future::ready(Ok(response))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    // Whatever goes wrong with a probe is the prober's to notice.
    let _ = timeout(PATIENCE, connection).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn statuses(phase: Phase) -> [u16; 4] {
        let (_keep, phase) = watch::channel(phase);
        let probe = Probe { phase, stats: Arc::default() };
        ["/livez", "/readyz", "/servingz", "/startupz"]
            .map(|path| probe.answer(&Method::GET, path, Instant::now()).0.as_u16())
    }

    #[test]
    fn tells_balancers_and_the_kubelet_different_truths() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        assert_eq!(statuses(Phase::Booting), [503, 503, 503, 503]);
        assert_eq!(statuses(Phase::Ready), [200, 200, 200, 200]);
        assert_eq!(statuses(Phase::Draining { since: now, until: later }), [200, 503, 200, 200]);
        assert_eq!(statuses(Phase::Closing { since: now, deadline: later }), [200, 503, 503, 200]);
        assert_eq!(statuses(Phase::Forcing { until: later }), [200, 503, 503, 200]);
    }

    #[tokio::test]
    async fn answers_over_the_wire_and_closes() {
        let (_keep, phase) = watch::channel(Phase::Ready);
        let stats = Arc::<Stats>::default();
        let queue = crate::dispatch::DispatchQueue::new(1, None, 1, stats.clone());
        let report = Report::new(stats.clone(), queue, phase.clone(), Default::default());
        let probe = Arc::new(Probe { phase, stats });
        let (mut client, server) = tokio::io::duplex(4096);
        let serving = tokio::spawn(serve(server, probe, report));
        client.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\nready\n"), "{text}");
        serving.await.unwrap();
    }
}
