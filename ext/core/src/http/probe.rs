//! Probes: whether the process lives, whether it wants new clients, whether it still serves. They are answered here,
//! without the app, so that a busy app is not taken for a dead one.

use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode, header, request::Parts};

use crate::{config::Probes, http::response::Response, lifecycle::Phase};

/// How probers of clusters and load balancers begin their `User-Agent`.
const PROBERS: [&str; 6] = [
    "kube-probe/",
    "ELB-HealthChecker/",
    "GoogleHC/",
    "Amazon-Route53-Health-Check",
    "Consul Health Check",
    "Envoy/HC",
];

/// The paths that are answered, in the words of the answer to any other.
pub(crate) const PATHS: &str = "/livez, /readyz, /servingz or /startupz";

/// A request's answer, if it is one of the four probes. `unattended` tells for how long requests have waited with nothing to
/// run them, where that is too long.
pub(crate) fn answer(
    method: &Method,
    path: &str,
    phase: Phase,
    now: Instant,
    in_flight: impl FnOnce() -> u64,
    unattended: impl FnOnce() -> Option<Duration>,
) -> Option<Response> {
    let dead = if path == "/livez" { unattended() } else { None };
    let good = match path {
        "/livez" if dead.is_some() => false,
        "/livez" | "/startupz" => phase != Phase::Booting,
        "/readyz" => phase == Phase::Ready,
        "/servingz" => matches!(phase, Phase::Ready | Phase::Draining { .. }),
        _ => return None,
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Some(text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into()));
    }
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let text_of = |silence: Duration| {
        let waited = silence.as_secs_f64();
        format!("dead: requests have waited for {waited:.1} s, and no thread runs the app (liveness_timeout)\n")
    };
    Some(text(status, dead.map_or_else(|| describe(phase, now, in_flight()), text_of)))
}

/// The same on an address of the app: as far as they are mounted there, and the app's own health check once the server
/// was told to stop.
pub(crate) fn answer_beside_app(
    probes: &Probes,
    method: &Method,
    path: &str,
    phase: Phase,
    now: Instant,
    in_flight: impl FnOnce() -> u64,
    unattended: impl FnOnce() -> Option<Duration>,
) -> Option<Response> {
    if phase.is_stopping() && probes.drain_fail_paths.iter().any(|failing| failing == path) {
        return Some(text(StatusCode::SERVICE_UNAVAILABLE, describe(phase, now, in_flight())));
    }
    if probes.probe_paths { answer(method, path, phase, now, in_flight, unattended) } else { None }
}

/// What is said in plain text, and never kept for later.
pub(crate) fn text(status: StatusCode, text: String) -> Response {
    let mut response = Response::text(status, text);
    response.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn describe(phase: Phase, now: Instant, in_flight: u64) -> String {
    let left = |until: Instant| until.saturating_duration_since(now).as_secs_f64();
    match phase {
        Phase::Booting | Phase::Ready => format!("{}\n", phase.name()),
        Phase::Draining { until, .. } => format!("draining, serving everything for {:.1} s more\n", left(until)),
        Phase::Retiring { deadline, .. } => {
            format!("leaving, {in_flight} in flight, {:.1} s left\n", left(deadline))
        }
        Phase::Closing { deadline, .. } => format!("closing, {in_flight} in flight, {:.1} s left\n", left(deadline)),
        Phase::Forcing { .. } | Phase::Stopped { .. } => format!("{}, {in_flight} in flight\n", phase.name()),
    }
}

impl Probes {
    /// Whether all that comes to an address of the app is the app's.
    pub(crate) fn are_off(&self) -> bool {
        !self.probe_paths && self.drain_fail_paths.is_empty()
    }

    /// Whether a request to an address of the app comes from a prober, and so says nothing about where clients are sent.
    pub(crate) fn is_probe(&self, head: &Parts) -> bool {
        let agent = head.headers.get(header::USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
        PROBERS.iter().any(|prober| agent.starts_with(prober.as_bytes()))
            || self.drain_fail_paths.iter().any(|path| path == head.uri.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases() -> [Phase; 5] {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        [
            Phase::Booting,
            Phase::Ready,
            Phase::Draining { since: now, pace: Duration::from_secs(1), until: later },
            Phase::Closing { since: now, deadline: later, gently: true },
            Phase::Forcing { until: later },
        ]
    }

    fn status(response: Option<Response>) -> u16 {
        response.map_or(0, |response| response.status.as_u16())
    }

    #[test]
    fn tells_balancers_and_the_kubelet_different_truths() {
        let statuses = phases().map(|phase| {
            ["/livez", "/readyz", "/servingz", "/startupz", "/"]
                .map(|path| status(answer(&Method::GET, path, phase, Instant::now(), || 0, || None)))
        });
        assert_eq!(
            statuses,
            [
                [503, 503, 503, 503, 0],
                [200, 200, 200, 200, 0],
                [200, 503, 200, 200, 0],
                [200, 503, 503, 200, 0],
                [200, 503, 503, 200, 0],
            ]
        );
        assert_eq!(status(answer(&Method::POST, "/livez", Phase::Ready, Instant::now(), || 0, || None)), 405);
    }

    #[test]
    fn a_pool_that_is_dead_fails_the_liveness_probe_alone_and_says_why() {
        let dead = || Some(Duration::from_secs(75));
        let ask = |path| answer(&Method::GET, path, Phase::Ready, Instant::now(), || 3, dead).unwrap();
        assert_eq!(
            ["/livez", "/readyz", "/servingz", "/startupz"].map(|path| ask(path).status.as_u16()),
            [503, 200, 200, 200]
        );
        let crate::http::body::ResponseBody::Full(text) = ask("/livez").body else { panic!("no text") };
        assert!(text.starts_with(b"dead: requests have waited for 75.0 s"), "{text:?}");
    }

    #[test]
    fn fails_the_apps_own_health_check_once_it_was_told_to_stop() {
        let probes = Probes { probe_paths: false, drain_fail_paths: vec!["/up".into()], ..Default::default() };
        let statuses = phases().map(|phase| {
            ["/up", "/readyz", "/up/"].map(|path| {
                status(answer_beside_app(&probes, &Method::GET, path, phase, Instant::now(), || 0, || None))
            })
        });
        assert_eq!(statuses, [[0, 0, 0], [0, 0, 0], [503, 0, 0], [503, 0, 0], [503, 0, 0]]);
        let probes = Probes { probe_paths: true, ..Default::default() };
        assert_eq!(
            status(answer_beside_app(&probes, &Method::GET, "/readyz", phases()[2], Instant::now(), || 0, || None)),
            503
        );
    }

    #[test]
    fn knows_probers_by_their_name_and_by_what_they_ask_for() {
        let probes = Probes { probe_paths: false, drain_fail_paths: vec!["/up".into()], ..Default::default() };
        let head = |path: &str, agent: &str| {
            let request = http::Request::get(path).header("user-agent", agent).body(()).unwrap();
            request.into_parts().0
        };
        assert!(probes.is_probe(&head("/", "kube-probe/1.36")));
        assert!(probes.is_probe(&head("/up", "curl/8")));
        assert!(!probes.is_probe(&head("/", "curl/8 kube-probe/1.36")));
    }
}
