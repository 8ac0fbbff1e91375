//! Signals, heard by the I/O thread the moment they are delivered, whatever the interpreter is doing.
//!
//! An interpreter runs its signal handlers when it gets to it; an extension that holds the GVL for ten seconds would
//! take them from the platform's grace. The interpreter's handler still runs, and reports the same signal again, mostly after ours
//! and now and then before: [`SignalListener::heard`] sees to it that the server hears of each once.

use std::{
    io::{self, Read},
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::control::Control;
use crate::{
    lifecycle::{Event, Signal},
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
pub(crate) struct SignalListener {
    actions: Vec<SignalAction>,
    heard: Arc<[Heard; SIGNALS.len()]>,
}

/// How often the kernel delivered a signal that the interpreter has not reported yet; or, below zero, when it has reported one that was
/// not delivered, in milliseconds. One number, so that of the two that tell of a signal exactly one finds itself to be the first.
#[derive(Debug, Default)]
struct Heard(AtomicI64);

/// A report comes at most so long before the delivery that it is of, in milliseconds: the thread that takes the signal may be taken off
/// the processor in between. One without a delivery, of a signal that came before this listened, is forgotten after that.
const AHEAD: i64 = 1000;

impl Heard {
    /// The kernel delivers it. Whether that is news. Async-signal-safe.
    fn delivered(&self, now: i64) -> bool {
        let change = |state| Some(if state >= 0 { state + 1 } else { i64::from(now + state > AHEAD) });
        let before = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).unwrap_or_default();
        before >= 0 || now + before > AHEAD
    }

    /// The interpreter reports it. Whether that is news.
    fn reported(&self, now: i64) -> bool {
        let change = |state| Some(if state > 0 { state - 1 } else { -now });
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).unwrap_or_default() <= 0
    }
}

/// The time, of which zero is long ago.
fn milliseconds() -> i64 {
    i64::try_from(sys::clock::monotonic_ms()).unwrap_or(i64::MAX)
}

impl SignalListener {
    /// Begins to hear these signals; others are left alone, as one that is to be ignored. The stream yields a byte for each;
    /// [`signal_of`] reads it.
    pub(crate) fn open(signals: &[Signal]) -> io::Result<(Self, UnixStream)> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let pipe: Arc<OwnedFd> = Arc::new(writer.into());
        let mut listener = Self { actions: Vec::new(), heard: Default::default() };
        let wanted = SIGNALS.into_iter().enumerate().filter(|(_, (signal, _))| signals.contains(signal));
        for (index, (_, number)) in wanted {
            let heard = listener.heard.clone();
            let is_news = move || heard[index].delivered(milliseconds());
            listener.actions.push(sys::on_signal(number, is_news, pipe.clone(), index as u8)?);
        }
        Ok((listener, reader))
    }

    /// Whether a signal that the interpreter reports was heard already. Each is counted off once; where it was not heard, it is not when
    /// it comes either.
    pub(crate) fn heard(&self, signal: Signal) -> bool {
        let Some(index) = SIGNALS.iter().position(|(known, _)| *known == signal) else { return false };
        !self.heard[index].reported(milliseconds())
    }
}

impl Drop for SignalListener {
    fn drop(&mut self) {
        self.actions.drain(..).for_each(sys::ignore_signal);
    }
}

/// Bounds the end of a boot, until it is dropped: an app may hold the GVL while it is loaded, so that the interpreter
/// runs no signal handler. Nothing has been accepted yet, and nothing is lost.
#[derive(Debug)]
pub struct BootGuard {
    stream: UnixStream,
    over: Arc<AtomicBool>,
    _listener: SignalListener,
}

impl BootGuard {
    /// Calls `on_timeout`, which ends the process, when `limit` has passed since the first of these signals. It runs on a thread of
    /// its own: not before a fork.
    ///
    /// # Errors
    ///
    /// When the system has no descriptors or threads left.
    pub fn start(signals: &[Signal], limit: Duration, on_timeout: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (listener, stream) = SignalListener::open(signals)?;
        stream.set_nonblocking(false)?;
        let over = Arc::new(AtomicBool::new(false));
        let (mut hearing, done) = (stream.try_clone()?, over.clone());
        let guard = move || {
            if hearing.read_exact(&mut [0]).is_ok() && !has_ended(&hearing, limit) && !done.load(Ordering::SeqCst) {
                on_timeout();
            }
        };
        thread::Builder::new().name("tidegate-boot".into()).spawn(guard)?;
        Ok(Self { stream, over, _listener: listener })
    }
}

/// Waits for the end of the stream, at most for `limit`. Returns whether it has come.
fn has_ended(mut stream: &UnixStream, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        if stream.read(&mut [0]).is_ok_and(|bytes| bytes == 0) {
            return true;
        }
    }
}

impl Drop for BootGuard {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // A child that the app has forked may hold the other end; this ends the stream all the same.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// What a signal to this process asks for: of a single process, and of a worker that has the control socket to its master.
pub(super) fn event_of(signal: Signal, control: Option<&Control>) -> Option<Event> {
    control.map_or(Some(Event::Signal(signal)), |control| control.signalled(signal))
}

/// The signal that a byte stands for.
pub(crate) fn signal_of(byte: u8) -> Option<Signal> {
    SIGNALS.get(usize::from(byte)).map(|(signal, _)| *signal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// SIGQUIT, because nothing else in the test process uses it.
    #[test]
    fn hears_a_signal_and_knows_it_again_once() {
        let (signals, mut reader) = SignalListener::open(&[Signal::Quit]).unwrap();
        reader.set_nonblocking(false).unwrap();
        sys::raise(libc::SIGQUIT);
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        assert_eq!(signal_of(byte[0]), Some(Signal::Quit));
        assert!(signals.heard(Signal::Quit));
        assert!(!signals.heard(Signal::Quit), "a second report is of a second signal");
        // The registry calls the interpreter's handler first. Where that reported the signal before ours had counted it, one SIGTERM
        // was two: the drain delay was over at once, and new connections were refused.
        sys::raise(libc::SIGQUIT);
        sys::raise(libc::SIGQUIT);
        reader.read_exact(&mut byte).unwrap();
        assert!(signals.heard(Signal::Quit), "the third has come, the second was told of by its report alone");
        reader.set_nonblocking(true).unwrap();
        assert_eq!(reader.read(&mut byte).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(signals);

        // Ruby's `trap` puts its own handler in the place of what was there; signals that were opened after that heard nothing.
        sys::ignore_from_now_on(libc::SIGQUIT);
        let (_listener, mut reader) = SignalListener::open(&[Signal::Quit]).unwrap();
        reader.set_nonblocking(false).unwrap();
        sys::raise(libc::SIGQUIT);
        reader.read_exact(&mut byte).unwrap();
    }

    #[test]
    fn of_a_report_and_a_delivery_the_first_is_news_and_a_report_alone_is_forgotten() {
        let heard = Heard::default();
        assert_eq!(
            [heard.delivered(1), heard.delivered(1), heard.reported(2), heard.reported(2)],
            [true, true, false, false]
        );
        assert_eq!([heard.reported(5000), heard.delivered(5000 + AHEAD)], [true, false]);
        assert_eq!([heard.delivered(7000), heard.reported(7000)], [true, false]);
        // Of a signal that came before the listener.
        assert!(heard.reported(8000));
        assert_eq!([heard.delivered(8001 + AHEAD), heard.reported(8001 + AHEAD)], [true, false]);
    }

    #[test]
    fn a_signal_to_a_worker_is_not_the_clusters() {
        let (mut master, worker) = UnixStream::pair().unwrap();
        let control = Control::new(worker.into());
        assert_eq!(Signal::ALL.map(|signal| event_of(signal, Some(&control))), [None, Some(Event::Retire), None, None]);
        drop(control);
        let mut told = String::new();
        master.read_to_string(&mut told).unwrap();
        assert_eq!(told, "leave\n", "its master decides, and a second signal does not wait for that");
        assert_eq!(event_of(Signal::Int, None), Some(Event::Signal(Signal::Int)));
    }

    fn guard(limit: Duration) -> (BootGuard, mpsc::Receiver<()>) {
        let (expires, expired) = mpsc::channel();
        (BootGuard::start(&[Signal::Hup], limit, move || expires.send(()).unwrap()).unwrap(), expired)
    }

    /// SIGHUP, which the other test does not use: they run at the same time.
    #[test]
    fn bounds_a_boot_that_was_told_to_end_and_no_other() {
        let (long, unexpired) = guard(Duration::from_secs(3600));
        let (short, expired) = guard(Duration::ZERO);
        sys::raise(libc::SIGHUP);
        assert_eq!(expired.recv(), Ok(()));
        drop(short);
        drop(long);
        assert_eq!(unexpired.recv(), Err(mpsc::RecvError), "it was over before its time");
        let (quiet, unexpired) = guard(Duration::ZERO);
        drop(quiet);
        assert_eq!(unexpired.recv(), Err(mpsc::RecvError), "no signal came");
    }
}
