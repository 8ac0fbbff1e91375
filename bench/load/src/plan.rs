//! What is to be asked: groups of clients, each with its request and its pace, read from JSON.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

/// One measurement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Where the server listens; only addresses of this machine are accepted.
    pub(crate) address: SocketAddr,
    /// For how long requests are begun.
    pub(crate) seconds: f64,
    /// Seconds after which a request has failed; also how long the end waits for what is under way.
    #[serde(default = "ten")]
    pub(crate) timeout: f64,
    #[serde(default)]
    pub(crate) groups: Vec<Group>,
    /// Instead of measuring, keep that many connections open, each after one request of the first group.
    #[serde(default)]
    pub(crate) hold: Option<usize>,
}

/// Clients that all do the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) connections: usize,
    #[serde(default = "get")]
    pub(crate) method: String,
    #[serde(default = "root")]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Size of the request's body.
    #[serde(default)]
    pub(crate) body_bytes: usize,
    /// Whether a connection is used again.
    #[serde(default = "yes")]
    pub(crate) keep_alive: bool,
    /// Whether it encrypts.
    #[serde(default)]
    pub(crate) tls: bool,
    /// Whether an encrypted connection goes on with the session of an earlier one.
    #[serde(default)]
    pub(crate) resume: bool,
    /// Requests per second of the whole group, due by the clock; without it each connection asks when it was answered.
    #[serde(default)]
    pub(crate) rate: Option<f64>,
    /// Seconds between a response and the next request on that connection.
    #[serde(default)]
    pub(crate) pause: f64,
    /// Requests that differ in their path, each measured by itself under its own name. Which comes next is random, and so is the
    /// free connection that takes it.
    #[serde(default)]
    pub(crate) mix: Vec<Kind>,
}

/// A kind of request in the mix of a group.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) path: String,
    /// How often it comes, beside the shares of the others.
    pub(crate) share: f64,
}

fn ten() -> f64 {
    10.0
}

fn yes() -> bool {
    true
}

fn get() -> String {
    "GET".into()
}

fn root() -> String {
    "/".into()
}

impl Plan {
    pub(crate) fn parse(text: &str) -> Result<Plan, String> {
        let plan: Plan = serde_json::from_str(text).map_err(|error| format!("not a plan: {error}"))?;
        plan.check().map(|()| plan)
    }

    fn check(&self) -> Result<(), String> {
        if !self.address.ip().is_loopback() {
            return Err(format!("{} is not an address of this machine's loopback", self.address));
        }
        if self.groups.is_empty() || self.groups.iter().any(|group| group.connections == 0) {
            return Err("every plan has a group, and every group a connection".into());
        }
        let spans = [self.seconds, self.timeout];
        if spans.iter().any(|span| !(0.001..=3600.0).contains(span)) {
            return Err("seconds and timeout are between 0.001 and 3600".into());
        }
        for group in &self.groups {
            if !(0.0..=3600.0).contains(&group.pause) || group.rate.is_some_and(|rate| !(0.01..=1e6).contains(&rate)) {
                return Err(format!("{}: a pause is 0 to 3600 seconds, a rate 0.01 to 1000000 per second", group.name));
            }
            if group.mix.iter().any(|kind| !(0.0001..=1e6).contains(&kind.share)) {
                return Err(format!("{}: a share in the mix is 0.0001 to 1000000", group.name));
            }
        }
        Ok(())
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout)
    }
}

impl Group {
    /// What it asks: the kinds of its mix, or the one that it is itself.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        if self.mix.is_empty() {
            return vec![Kind { name: self.name.clone(), path: self.path.clone(), share: 1.0 }];
        }
        self.mix.clone()
    }

    /// The bytes of this group's request for that path.
    pub(crate) fn request(&self, path: &str, address: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {path} HTTP/1.1\r\nHost: {address}\r\n", self.method);
        if !self.keep_alive {
            head.push_str("Connection: close\r\n");
        }
        if self.body_bytes > 0 || self.method == "POST" || self.method == "PUT" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body_bytes));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.resize(bytes.len() + self.body_bytes, b'x');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(group: &str) -> Result<Plan, String> {
        Plan::parse(&format!(r#"{{"address":"127.0.0.1:80","seconds":1,"groups":[{group}]}}"#))
    }

    #[test]
    fn a_request_has_what_its_group_says() {
        let plan = plan(
            r#"{"name":"a","connections":1,"method":"POST","path":"/up","body_bytes":3,"headers":{"Accept":"*/*"}}"#,
        )
        .unwrap();
        let request = String::from_utf8(plan.groups[0].request(&plan.groups[0].path, plan.address)).unwrap();
        assert_eq!(request, "POST /up HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 3\r\nAccept: */*\r\n\r\nxxx");
    }

    #[test]
    fn a_connection_that_is_used_once_says_so() {
        let plan = plan(r#"{"name":"a","connections":1,"keep_alive":false}"#).unwrap();
        let request = String::from_utf8(plan.groups[0].request("/", plan.address)).unwrap();
        assert_eq!(request, "GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\nConnection: close\r\n\r\n");
    }

    #[test]
    fn a_group_asks_what_is_in_its_mix_or_its_own_path() {
        let names = |group: &str| {
            plan(group).unwrap().groups[0].kinds().iter().map(|kind| kind.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(r#"{"name":"a","connections":1}"#), ["a"]);
        let mix = r#"[{"name":"small","path":"/","share":19},{"name":"big","path":"/big","share":1}]"#;
        assert_eq!(names(&format!(r#"{{"name":"a","connections":1,"mix":{mix}}}"#)), ["small", "big"]);
    }

    #[test]
    fn plans_that_make_no_sense_are_refused() {
        assert!(plan(r#"{"name":"a","connections":0}"#).is_err());
        assert!(plan(r#"{"name":"a","connections":1,"rate":0}"#).is_err());
        assert!(plan(r#"{"name":"a","connections":1,"pause":-1}"#).is_err());
        assert!(plan(r#"{"name":"a","connections":1,"colour":"red"}"#).is_err());
        assert!(plan(r#"{"name":"a","connections":1,"mix":[{"name":"b","path":"/","share":0}]}"#).is_err());
        assert!(
            Plan::parse(r#"{"address":"10.0.0.1:80","seconds":1,"groups":[{"name":"a","connections":1}]}"#).is_err()
        );
    }
}
