//! Where notices go: a descriptor that lines are written to, each in one write; and the last of them to where the
//! platform keeps a process's last words.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::fd::RawFd,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    access::JSON_TIME,
    notice::{Notice, Summary},
    plan::Platform,
    sys,
};

/// Where Kubernetes looks for the message of a container that has ended, unless the pod says otherwise.
const KUBERNETES: &str = "/dev/termination-log";

/// A log. It has a descriptor of its own, so that whoever opened the first may close it.
#[derive(Debug)]
pub struct Log {
    file: File,
    /// Lines are JSON objects, and not sentences.
    json: bool,
}

impl Log {
    /// A log that writes where `descriptor` does.
    ///
    /// # Errors
    ///
    /// When it is not open, or there are no descriptors left.
    pub fn to(descriptor: RawFd) -> io::Result<Self> {
        sys::duplicate(descriptor).map(|own| Self { file: own.into(), json: false })
    }

    /// The same with a JSON object in each line: `time`, `level` (info or warn), `event`, `message`, and with the summary of a
    /// drain its numbers.
    pub fn in_json(self, json: bool) -> Self {
        Self { json, ..self }
    }

    /// Writes a notice. Nobody can be told when that fails.
    pub fn write(&self, notice: &Notice<'_>) {
        let line = if self.json { json(notice, Timestamp::now()) } else { format!("tidegate: {notice}\n") };
        let _ = (&self.file).write_all(line.as_bytes());
    }
}

fn json(notice: &Notice<'_>, now: Timestamp) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        time: String,
        level: &'a str,
        event: &'a str,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        drain: Option<&'a Summary>,
    }
    let drain = if let Notice::Summary(summary) = notice { Some(summary) } else { None };
    let line = Line {
        time: now.strftime(JSON_TIME).to_string(),
        level: if notice.is_warning() { "warn" } else { "info" },
        event: notice.event(),
        message: notice.to_string(),
        drain,
    };
    // Strings and numbers always have a form in JSON.
    serde_json::to_string(&line).map(|line| line + "\n").unwrap_or_default()
}

/// The file whose content outlives the process: in Kubernetes, `kubectl describe pod` shows it as the container's last
/// message, when its log may be gone and nobody scrapes it any more.
#[derive(Debug)]
pub struct TerminationLog(PathBuf);

impl TerminationLog {
    /// That file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The platform's own, where it has one and has made it.
    pub fn of(platform: Platform) -> Option<Self> {
        (platform == Platform::Kubernetes && Path::new(KUBERNETES).exists()).then(|| Self::at(KUBERNETES))
    }

    /// Writes the summary of a drain; other notices are no last words. Nobody can be told when that fails.
    pub fn write(&self, notice: &Notice<'_>) {
        if let Notice::Summary(summary) = notice {
            let file = OpenOptions::new().write(true).truncate(true).create(true).open(&self.0);
            let _ = file.and_then(|mut file| file.write_all(format!("{summary}\n").as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Seek},
        os::fd::AsRawFd,
    };

    #[test]
    fn writes_whole_lines_to_a_descriptor_of_its_own() {
        let mut file = tempfile::tempfile().unwrap();
        let log = Log::to(file.as_raw_fd()).unwrap();
        log.write(&Notice::AcceptRecovered);
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "tidegate: accepting connections again\n");
        assert!(Log::to(-1).is_err());
    }

    #[test]
    fn a_json_line_is_an_object_with_what_happened() {
        let failure = io::Error::other("a \"quoted\" reason");
        let line = json(&Notice::AcceptFailing(&failure), Timestamp::UNIX_EPOCH);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!((&object["level"], &object["event"]), (&"warn".into(), &"accept_failing".into()));
        assert!(object["message"].as_str().unwrap().ends_with("a \"quoted\" reason"));
        assert!(object.get("drain").is_none());
        assert!(line.ends_with("}\n"));
    }
}
