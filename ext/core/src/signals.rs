//! Signals, heard by the I/O thread the moment they are delivered, whatever the interpreter is doing.
//!
//! An interpreter runs its signal handlers when it gets to it; an extension that holds its lock for ten seconds would
//! take them from the platform's grace. The interpreter's handler still runs after ours, and reports the same signal
//! again: [`Ears::heard`] tells the two apart.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    lifecycle::Signal,
    sys::{self, SignalAction},
};

const SIGNALS: [(Signal, libc::c_int); 4] = [
    (Signal::Term, libc::SIGTERM),
    (Signal::Quit, libc::SIGQUIT),
    (Signal::Int, libc::SIGINT),
    (Signal::Hup, libc::SIGHUP),
];

/// Hears the process's signals until it is dropped.
#[derive(Debug)]
pub struct Ears {
    actions: Vec<SignalAction>,
    heard: [Heard; SIGNALS.len()],
}

#[derive(Debug, Default)]
struct Heard {
    /// How often the kernel delivered the signal.
    delivered: Arc<AtomicU64>,
    /// How often of those the interpreter has reported it too.
    reported: AtomicU64,
}

impl Ears {
    /// Begins to hear these signals; others are left alone, as one that is to be ignored. The stream yields a byte for each;
    /// [`signal_of`] reads it.
    pub(crate) fn open(signals: &[Signal]) -> io::Result<(Self, UnixStream)> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let pipe: Arc<OwnedFd> = Arc::new(writer.into());
        let mut ears = Self { actions: Vec::new(), heard: Default::default() };
        let wanted = SIGNALS.into_iter().enumerate().filter(|(_, (signal, _))| signals.contains(signal));
        for (index, (_, number)) in wanted {
            let count = ears.heard[index].delivered.clone();
            ears.actions.push(sys::on_signal(number, count, pipe.clone(), index as u8)?);
        }
        Ok((ears, reader))
    }

    /// Whether a signal that the interpreter reports was heard already. Each is counted off once.
    pub fn heard(&self, signal: Signal) -> bool {
        let Some(index) = SIGNALS.iter().position(|(known, _)| *known == signal) else { return false };
        let Heard { delivered, reported } = &self.heard[index];
        let one_more = |reported| (reported < delivered.load(Ordering::SeqCst)).then_some(reported + 1);
        reported.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.actions.drain(..).for_each(sys::ignore_signal);
    }
}

/// The signal that a byte stands for.
pub(crate) fn signal_of(byte: u8) -> Option<Signal> {
    SIGNALS.get(usize::from(byte)).map(|(signal, _)| *signal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// SIGQUIT, because nobody else in the test process has a use for it.
    #[test]
    fn hears_a_signal_and_knows_it_again_once() {
        let (ears, mut reader) = Ears::open(&[Signal::Quit]).unwrap();
        reader.set_nonblocking(false).unwrap();
        assert!(!ears.heard(Signal::Quit), "nothing was delivered");
        sys::raise(libc::SIGQUIT);
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        assert_eq!(signal_of(byte[0]), Some(Signal::Quit));
        assert!(ears.heard(Signal::Quit));
        assert!(!ears.heard(Signal::Quit), "a second report is of a second signal");
    }
}
