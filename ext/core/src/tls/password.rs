//! The password of a private key: what a command of the operator's prints.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long the command may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a command that has printed all may take to end.
const PAUSE: Duration = Duration::from_millis(5);
const MOST_BYTES: u64 = 4096;

/// The password, which is asked for when a key needs it, and once for all keys that are loaded together.
pub(super) struct Password<'a> {
    command: Option<&'a str>,
    known: Option<Result<String, String>>,
}

impl<'a> Password<'a> {
    pub(super) fn new(command: Option<&'a str>) -> Self {
        Self { command, known: None }
    }

    /// `Err` is a sentence about why there is none.
    pub(super) fn get(&mut self) -> Result<&str, String> {
        let command = self.command;
        let known = self.known.get_or_insert_with(|| {
            let command = command.ok_or("it has a password, and no key_password_command says how to get it")?;
            run(command, LIMIT)
        });
        known.as_deref().map_err(Clone::clone)
    }
}

/// What the command prints, without the end of the line.
fn run(command: &str, limit: Duration) -> Result<String, String> {
    let failed = |why: String| format!("its key_password_command {why}");
    let spawned = Command::new("/bin/sh").arg("-c").arg(command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| failed(format!("cannot be run: {error}")))?;
    let end = Instant::now() + limit;
    let printed = printed(&mut child, limit);
    let ended = printed.is_some() && ended_well(&mut child, end);
    if !ended {
        // It may have ended meanwhile.
        let _ = child.kill();
        let _ = child.wait();
    }
    let Some(printed) = printed else { return Err(failed(format!("has not ended within {} s", limit.as_secs_f64()))) };
    if !ended {
        return Err(failed("has failed".into()));
    }
    let text = String::from_utf8(printed).map_err(|_| failed("prints what is no text in UTF-8".into()))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() { Err(failed("prints nothing".into())) } else { Ok(password.to_owned()) }
}

/// All that it prints; `None` after the limit.
fn printed(child: &mut Child, limit: Duration) -> Option<Vec<u8>> {
    let output = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.take(MOST_BYTES).read_to_end(&mut bytes);
        // The receiver has gone when this took too long.
        let _ = sender.send(read.map(|_| bytes));
    });
    receiver.recv_timeout(limit).ok()?.ok()
}

/// Whether it ends with 0 in time. Where the process collects all its children elsewhere, as a master does, how it ended is not known, and
/// what it has printed counts.
fn ended_well(child: &mut Child, end: Instant) -> bool {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() >= end => return false,
            Ok(None) => thread::sleep(PAUSE),
            Err(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_the_command_prints() {
        assert_eq!(run("echo secret", LIMIT).unwrap(), "secret");
        assert_eq!(run("printf ' a b '", LIMIT).unwrap(), " a b ");
    }

    #[test]
    fn a_command_that_does_not_print_it_is_an_error() {
        assert_eq!(run("exit 3", LIMIT).unwrap_err(), "its key_password_command has failed");
        assert_eq!(run("true", LIMIT).unwrap_err(), "its key_password_command prints nothing");
        let late = run("exec sleep 60", Duration::from_millis(50)).unwrap_err();
        assert_eq!(late, "its key_password_command has not ended within 0.05 s");
    }

    #[test]
    fn it_is_run_once_for_all_keys() {
        let directory = tempfile::tempdir().unwrap();
        let counter = directory.path().join("counter");
        let command = format!("echo x >> {0}; wc -l < {0}", counter.display());
        let mut password = Password::new(Some(&command));
        assert_eq!((password.get().unwrap().trim().to_owned(), password.get().unwrap().trim()), ("1".into(), "1"));
        assert!(Password::new(None).get().unwrap_err().contains("no key_password_command"));
    }
}
