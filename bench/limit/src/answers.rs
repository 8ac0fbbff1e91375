//! The answers by their paths: what the app of a workload has answered once, and how long it waits before.

use std::{collections::HashMap, fs, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

/// One answer as it is in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    path: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    #[serde(default)]
    sleep_ms: f64,
}

/// An answer that only has to be copied.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How long the app waits before it.
    pub(crate) sleep: Option<Duration>,
}

/// All answers.
#[derive(Debug)]
pub(crate) struct Answers(HashMap<String, Answer>);

impl Answers {
    /// Reads a file of JSON: a list of answers.
    pub(crate) fn read(file: &str) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        Self::parse(&text).map_err(|error| format!("{file}: {error}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let all: Vec<Description> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let all = all.into_iter().map(|one| Ok((one.path.clone(), Answer::of(one)?)));
        all.collect::<Result<_, String>>().map(Self)
    }

    /// The answer to a request for `path`. 404 where the app was not asked for it.
    pub(crate) fn at(&self, path: &str) -> Answer {
        self.0.get(path).cloned().unwrap_or_else(|| Answer {
            status: StatusCode::NOT_FOUND,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            sleep: None,
        })
    }
}

impl Answer {
    fn of(one: Description) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &one.headers {
            let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is no header's name"))?;
            let value = HeaderValue::from_str(value).map_err(|_| format!("{value:?} is no header's value"))?;
            headers.append(name, value);
        }
        let sleep = Duration::try_from_secs_f64(one.sleep_ms / 1e3).map_err(|error| error.to_string())?;
        Ok(Self {
            status: StatusCode::from_u16(one.status).map_err(|_| format!("{} is no status", one.status))?,
            headers,
            body: one.body.into(),
            sleep: (!sleep.is_zero()).then_some(sleep),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_the_file_says() {
        let answers = Answers::parse(
            r#"[{"path":"/a","status":201,"headers":[["x-a","1"],["x-a","2"]],"body":"hello"},
                {"path":"/slow","status":200,"headers":[],"body":"","sleep_ms":1.5}]"#,
        )
        .unwrap();
        let answer = answers.at("/a");
        assert_eq!((answer.status, &answer.body[..], answer.sleep), (StatusCode::CREATED, &b"hello"[..], None));
        assert_eq!(answer.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(answers.at("/slow").sleep, Some(Duration::from_micros(1500)));
        assert_eq!(answers.at("/b").status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let refused = |text: &str| Answers::parse(text).unwrap_err();
        assert!(refused("{}").contains("invalid type"));
        assert!(refused(r#"[{"path":"/","status":7,"headers":[],"body":""}]"#).contains("no status"));
        assert!(refused(r#"[{"path":"/","status":200,"headers":[["a b","c"]],"body":""}]"#).contains("header's name"));
        assert!(refused(r#"[{"path":"/","status":200,"headers":[],"body":"","sleep_ms":-1}]"#).contains("negative"));
    }
}
