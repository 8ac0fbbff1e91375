//! An output: lines on their way to a descriptor. The thread that has something to say puts it into a bounded queue and goes
//! on; a thread of the output's own writes. So a pipe that is full holds up neither the server nor the app: what finds the
//! queue full is lost, counted, and said as soon as lines can be written again.

use std::{
    fs::File,
    io::{self, Write},
    os::{fd::AsFd, unix::fs::FileTypeExt},
    sync::{
        Arc,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread,
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::relay::{LineKind, Relay, RelayedLine};
use crate::sys;

/// How many bytes are made into lines before they are written, about.
const BATCH: usize = 64 * 1024;

/// What may wait to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Lines.
    pub(crate) lines: usize,
    /// What these take of memory, in bytes, as [`LineFormat::weight`] has it.
    pub(crate) bytes: usize,
}

/// How entries become lines.
pub(crate) trait LineFormat: Send + 'static {
    /// What is put into the queue.
    type Entry: Send + 'static;

    /// What a line about lost entries is about.
    const LOST: LineKind;

    /// What an entry is about.
    fn kind(entry: &Self::Entry) -> LineKind;

    /// What an entry takes of memory beside its place in the queue, in bytes.
    fn weight(entry: &Self::Entry) -> usize;

    /// Appends the entry as whole lines.
    fn write(&self, entry: Self::Entry, lines: &mut Vec<u8>);

    /// Appends a line which says that `lost` entries are missing.
    fn write_lost(&self, lost: u64, lines: &mut Vec<u8>);
}

/// Counts the entries that could not be written. Clones share one count.
#[derive(Clone, Debug, Default)]
pub(crate) struct LostLines(Arc<AtomicU64>);

impl LostLines {
    /// How many there are, since the start.
    pub(crate) fn total(&self) -> u64 {
        self.0.load(SeqCst)
    }

    fn add(&self, entries: u64) {
        self.0.fetch_add(entries, SeqCst);
    }
}

/// The queue's near end.
#[derive(Debug)]
pub(crate) struct Output<S: LineFormat> {
    queue: Sender<Message<S::Entry>>,
    /// The weight of what waits.
    waiting: Arc<AtomicUsize>,
    capacity: Capacity,
    lost: LostLines,
}

#[derive(Debug)]
enum Message<E> {
    Entry(E),
    /// Everything that came before is to be written; then the sender is dropped.
    Flush(Sender<()>),
}

impl<S: LineFormat> Output<S> {
    /// Begins to write to `file`, on a thread of this `name`, which ends with the value. Lines go through `relay` where there is one.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(crate) fn start(
        name: &str,
        file: Arc<File>,
        format: S,
        capacity: Capacity,
        relay: Option<Relay>,
    ) -> io::Result<Self> {
        let (queue, inbox) = bounded(capacity.lines);
        let (waiting, lost) = (Arc::new(AtomicUsize::new(0)), LostLines::default());
        let writer = Writer {
            format,
            inbox,
            waiting: waiting.clone(),
            lost: lost.clone(),
            said: 0,
            whole: Pieces::of(&file),
            file,
            relay,
            entries: Vec::new(),
        };
        thread::Builder::new().name(name.into()).spawn(move || writer.run())?;
        Ok(Self { queue, waiting, capacity, lost })
    }

    /// Has `entry` written, or counts it as lost. Never waits.
    pub(crate) fn put(&self, entry: S::Entry) {
        let weight = S::weight(&entry);
        let fits = self.waiting.fetch_add(weight, Relaxed) + weight <= self.capacity.bytes.max(weight);
        if !fits || self.queue.try_send(Message::Entry(entry)).is_err() {
            self.waiting.fetch_sub(weight, Relaxed);
            self.lost.add(1);
        }
    }

    /// Waits until what was put before is written, at most until `deadline`. Returns whether it is.
    pub(crate) fn flush(&self, deadline: Instant) -> bool {
        let (done, written) = bounded(0);
        self.queue.send_deadline(Message::Flush(done), deadline).is_ok()
            && written.recv_deadline(deadline).is_err_and(|error| !error.is_timeout())
    }

    /// What was lost.
    pub(crate) fn lost(&self) -> &LostLines {
        &self.lost
    }
}

/// The queue's far end.
struct Writer<S: LineFormat> {
    format: S,
    inbox: Receiver<Message<S::Entry>>,
    waiting: Arc<AtomicUsize>,
    lost: LostLines,
    /// How many of the lost the log has told of.
    said: u64,
    whole: Pieces,
    file: Arc<File>,
    relay: Option<Relay>,
    /// What the entries are about that were made into lines, and where each of them ends, where there is a relay.
    entries: Vec<(LineKind, usize)>,
}

impl<S: LineFormat> Writer<S> {
    fn run(mut self) {
        let mut lines = Vec::with_capacity(BATCH);
        let inbox = self.inbox.clone();
        while let Ok(first) = inbox.recv() {
            let mut entries = 0;
            let mut flushed = None;
            for message in std::iter::once(first).chain(inbox.try_iter()) {
                match message {
                    Message::Entry(entry) => {
                        self.waiting.fetch_sub(S::weight(&entry), Relaxed);
                        let kind = S::kind(&entry);
                        self.format.write(entry, &mut lines);
                        self.note(kind, &lines);
                        entries += 1;
                    }
                    Message::Flush(done) => flushed = Some(done),
                }
                if flushed.is_some() || lines.len() >= BATCH {
                    break;
                }
            }
            self.write(&mut lines, entries);
            drop(flushed);
        }
    }

    /// Writes lines made of so many entries, and one about lost entries if there are new ones.
    fn write(&mut self, lines: &mut Vec<u8>, entries: u64) {
        let total = self.lost.total();
        if total > self.said {
            self.format.write_lost(total - self.said, lines);
            self.note(S::LOST, lines);
        }
        let relayed = self.relay(lines);
        match self.whole.write(&self.file, relayed.as_deref().unwrap_or(lines)) {
            Ok(()) => self.said = total,
            // The reader is gone, or the disk is full. How much of the batch came through is not known exactly.
            Err(_) => self.lost.add(entries),
        }
        lines.clear();
        // One long entry is no reason to keep the memory.
        lines.shrink_to(2 * BATCH);
    }
}

impl<S: LineFormat> Writer<S> {
    /// An entry ends where `lines` do.
    fn note(&mut self, kind: LineKind, lines: &[u8]) {
        if self.relay.is_some() {
            self.entries.push((kind, lines.len()));
        }
    }

    /// What is to be written in the place of `lines`; `None` for the lines themselves.
    fn relay(&mut self, lines: &[u8]) -> Option<Vec<u8>> {
        let entries = std::mem::take(&mut self.entries);
        let relay = self.relay.as_ref().filter(|relay| !entries.is_empty() && relay.is_open())?;
        let mut begin = 0;
        let relayed = entries.into_iter().map(|(kind, end)| {
            let text = lines[std::mem::replace(&mut begin, end)..end].to_vec();
            RelayedLine { kind, text }
        });
        relay.pass(relayed.collect())
    }
}

/// In what pieces lines are written: a pipe takes a piece of up to `PIPE_BUF` bytes whole, and mixes longer ones with what
/// other processes and threads write to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    Any,
    OfPipe,
}

impl Pieces {
    fn of(file: &File) -> Self {
        let is_pipe = file.metadata().is_ok_and(|data| data.file_type().is_fifo());
        if is_pipe { Self::OfPipe } else { Self::Any }
    }

    fn write(self, file: &File, mut lines: &[u8]) -> io::Result<()> {
        while !lines.is_empty() {
            let (piece, rest) = lines.split_at(self.length(lines));
            write_whole(file, piece)?;
            lines = rest;
        }
        Ok(())
    }

    /// How much of `lines` to write at once: whole lines as far as possible.
    fn length(self, lines: &[u8]) -> usize {
        if self == Self::Any || lines.len() <= libc::PIPE_BUF {
            return lines.len();
        }
        let end = |part: &[u8]| part.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        let long = || lines.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        end(&lines[..libc::PIPE_BUF]).or_else(long).unwrap_or(lines.len())
    }
}

/// Writes all of `bytes`, also to a pipe that another process, as a parent written in Ruby, has made non-blocking: when
/// that is full, a plain write would give the rest of the lines up.
pub(crate) fn write_whole(mut output: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sys::wait_until_writable(output.as_fd())?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::relay::NextLines, *};
    use crate::sync::Parker;
    use std::{
        io::{BufRead, BufReader, PipeReader, Read, pipe},
        os::fd::OwnedFd,
        time::Duration,
    };

    /// Lines as they are.
    struct Plain;

    impl LineFormat for Plain {
        type Entry = Vec<u8>;
        const LOST: LineKind = LineKind::Event;

        fn kind(_: &Vec<u8>) -> LineKind {
            LineKind::Error
        }

        fn weight(entry: &Vec<u8>) -> usize {
            entry.len()
        }

        fn write(&self, mut entry: Vec<u8>, lines: &mut Vec<u8>) {
            lines.append(&mut entry);
        }

        fn write_lost(&self, lost: u64, lines: &mut Vec<u8>) {
            lines.extend_from_slice(format!("lost {lost}\n").as_bytes());
        }
    }

    const CAPACITY: Capacity = Capacity { lines: 100, bytes: 1 << 20 };

    fn output(capacity: Capacity) -> (PipeReader, Output<Plain>) {
        let (reader, writer) = pipe().unwrap();
        let file = Arc::new(File::from(OwnedFd::from(writer)));
        (reader, Output::start("test", file, Plain, capacity, None).unwrap())
    }

    fn later(milliseconds: u64) -> Instant {
        Instant::now() + Duration::from_millis(milliseconds)
    }

    /// Every line that was put is read, or is counted as lost, and none is torn.
    fn account(reader: PipeReader) -> (u64, u64) {
        let (mut read, mut lost) = (0, 0);
        for line in BufReader::new(reader).lines() {
            let line = line.unwrap();
            match line.strip_prefix("lost ") {
                Some(number) => lost += number.parse::<u64>().unwrap(),
                None => {
                    assert!(line.bytes().all(|byte| byte == b'x'), "{line}");
                    read += 1;
                }
            }
        }
        (read, lost)
    }

    #[test]
    fn a_pipe_that_is_not_read_blocks_no_thread_and_what_is_lost_is_said_when_it_flows_again() {
        let (reader, output) = output(CAPACITY);
        let line = [&[b'x'; 999][..], b"\n"].concat();
        (0..500).for_each(|_| output.put(line.clone()));
        assert!(!output.flush(later(20)), "64 KiB fit into the pipe, and a batch into the writer's hands");
        let lost = output.lost().total();
        assert!(lost > 0);
        drop(output);
        assert_eq!(account(reader), (500 - lost, lost));
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_one_long_line_has_room() {
        let (mut reader, output) = output(Capacity { lines: 100, bytes: 10_000 });
        let long = [&[b'x'; 99_999][..], b"\n"].concat();
        output.put(long.clone());
        // The writer has it in its hands, and is stuck with it, once its first byte can be read.
        reader.read_exact(&mut [0; 1]).unwrap();
        output.put(b"x\n".repeat(5_000));
        assert_eq!(output.lost().total(), 0);
        output.put(b"x\n".to_vec());
        assert_eq!(output.lost().total(), 1);
        drop(output);
        assert_eq!(account(reader), (5_001, 1));
    }

    #[test]
    fn what_was_put_is_there_after_a_flush() {
        let (reader, output) = output(CAPACITY);
        (0..10).for_each(|_| output.put(b"x\n".to_vec()));
        assert!(output.flush(later(20_000)));
        let mut text = [0; 100];
        assert_eq!((&reader).read(&mut text).unwrap(), 20);
    }

    /// The writer must go on when the log's reader has gone, or its queue would fill for ever.
    #[test]
    fn a_reader_that_has_gone_is_counted_as_loss() {
        let (reader, output) = output(CAPACITY);
        drop(reader);
        (0..10).for_each(|_| output.put(b"x\n".to_vec()));
        assert!(output.flush(later(20_000)));
        assert_eq!(output.lost().total(), 10);
    }

    /// The interpreter has made something of the first line, and hangs with the second.
    #[test]
    fn lines_go_through_the_relay_until_it_is_closed() {
        let (reader, writer) = pipe().unwrap();
        let (relay, parker) = (Relay::default(), Parker::new());
        let file = Arc::new(File::from(OwnedFd::from(writer)));
        let output = Output::start("test", file, Plain, CAPACITY, Some(relay.clone())).unwrap();
        output.put(b"early\n".to_vec());
        assert!(output.flush(later(20_000)));
        relay.open();
        output.put(b"two\nlines\n".to_vec());
        let expected = |text: &str| NextLines::Lines(vec![RelayedLine { kind: LineKind::Error, text: text.into() }]);
        let next = || loop {
            match relay.next(&parker) {
                NextLines::Nothing => {}
                next => return next,
            }
        };
        assert_eq!(next(), expected("two\nlines\n"));
        relay.reply(Some(b"one line\n".to_vec()));
        assert!(output.flush(later(20_000)));
        output.put(b"hangs\n".to_vec());
        assert_eq!(next(), expected("hangs\n"));
        assert!(!output.flush(later(20)));
        relay.close();
        assert!(output.flush(later(20_000)));
        drop(output);
        assert_eq!(io::read_to_string(reader).unwrap(), "early\none line\nhangs\n");
    }

    #[test]
    fn a_pipe_is_given_whole_lines_as_far_as_they_fit() {
        let lines = [&[b'x'; 2000][..], b"\n", &[b'y'; 2000], b"\n", &[b'z'; 5000], b"\n"].concat();
        assert_eq!(Pieces::OfPipe.length(&lines), 2001 + 2001);
        assert_eq!(Pieces::OfPipe.length(&lines[4002..]), 5001);
        assert_eq!(Pieces::OfPipe.length(&[b'x'; 5000]), 5000);
        assert_eq!(Pieces::Any.length(&lines), lines.len());
    }
}
