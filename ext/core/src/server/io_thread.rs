//! The I/O thread: runs the runtime with all that the server does by itself, until the lifecycle ends.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    pin::Pin,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, unix::AsyncFd},
    net::UnixStream,
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
};

#[cfg(target_os = "linux")]
use super::accept_thread::AcceptThread;
use super::{
    Message, Observer,
    admin_acceptor::{AdminListener, accept_admin},
    certificates::Watching,
    control::Control,
    driver::Driver,
    heartbeat::Heartbeat,
    inbox::receive,
    listener::Listener,
    signals::{event_of, signal_of},
};
use crate::{
    admin::questions::Questions,
    connection::{Shared, Siblings},
    error::Error,
    http::body::Spool,
    lifecycle::Phase,
    log::{LOG_FLUSH_AT_END, Logs, event::LogEvent},
    pool::{Overdue, time_slice::TimeSlicer},
    sync::{latch::LatchTrigger, now, sockets::EVENTS_A_TURN},
    sys::{self, process::Watchdog},
};

/// How long the end of the server waits for the check of TMPDIR, which is over long before.
const CHECK_TIMEOUT: Duration = Duration::from_millis(100);
/// How long the process's last line may take to be written.
const LAST_LINE_FLUSH: Duration = Duration::from_millis(500);

/// A runtime for this thread. Files are read and written by threads of its own.
pub(super) fn runtime() -> Result<Runtime, Error> {
    Builder::new_current_thread()
        .enable_all()
        .max_io_events_per_tick(EVENTS_A_TURN)
        .max_blocking_threads(32)
        .thread_name("tidegate-disk")
        .build()
        .map_err(Error::runtime)
}

/// What the I/O thread owns.
pub(super) struct IoThread {
    pub(super) runtime: Runtime,
    pub(super) driver: Driver,
    /// What other threads tell the driver.
    pub(super) inbox: mpsc::Receiver<Message>,
    pub(super) accepting: Accepting,
    pub(super) admin: Option<AdminListener>,
    /// Tells the processes of a cluster about this worker.
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) time_slicer: Option<(&'static TimeSlicer, Option<Duration>)>,
    /// Yields a byte for each signal, where the process is the server's own, for the driver.
    pub(super) signals: Option<(StdUnixStream, mpsc::Sender<Message>)>,
    pub(super) logs: Logs,
    /// Ends the thread that looks at certificates.
    pub(super) _certificates: Option<Watching>,
    /// Wakes the threads that wait for the server's end.
    pub(super) stopped: LatchTrigger,
}

/// Where connections come from.
pub(super) enum Accepting {
    /// The process's own listeners.
    Alone(Vec<Listener>),
    /// Those that all workers of a cluster have.
    InCluster(ClusterSide),
}

/// What a worker of a cluster waits for beside its clients.
pub(super) struct ClusterSide {
    #[cfg(target_os = "linux")]
    pub(super) thread: AcceptThread,
    #[cfg(not(target_os = "linux"))]
    pub(super) listeners: Vec<Listener>,
    #[cfg(not(target_os = "linux"))]
    pub(super) adoption: AsyncFd<OwnedFd>,
    pub(super) siblings: Arc<Siblings>,
    pub(super) inbox: AsyncFd<OwnedFd>,
    /// What siblings ask for a client of theirs.
    pub(super) questions: Questions,
    pub(super) control: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl ClusterSide {
    fn begin(self, driver: &mut Driver) {
        let Self { siblings, inbox, questions, control, .. } = self;
        #[cfg(target_os = "linux")]
        driver.accept_from(self.thread);
        #[cfg(not(target_os = "linux"))]
        {
            self.listeners.into_iter().for_each(|listener| driver.accept_on(listener));
            let (siblings, shared, closing, questions) =
                (siblings.clone(), driver.shared(), driver.closing(), questions.clone());
            tokio::spawn(
                async move { receive(self.adoption, siblings.adoption(), &shared, &closing, &questions).await },
            );
        }
        let (shared, closing) = (driver.shared(), driver.closing());
        tokio::spawn(async move { receive(inbox, siblings.inbox(), &shared, &closing, &questions).await });
        tokio::spawn(control);
    }
}

impl IoThread {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(super) fn spawn(self) -> Result<(), Error> {
        thread::Builder::new().name("tidegate-io".into()).spawn(|| self.run()).map(drop).map_err(Error::runtime)
    }

    fn run(self) {
        let Self {
            runtime,
            mut driver,
            inbox,
            accepting,
            admin,
            heartbeat,
            time_slicer,
            signals,
            logs,
            _certificates,
            stopped,
        } = self;
        let shared = driver.shared();
        runtime.block_on(async {
            if let Some((stream, messages)) = signals {
                tokio::spawn(forward_signals(stream, messages, driver.control()));
            }
            if let Some(heartbeat) = heartbeat.clone() {
                tokio::spawn(heartbeat.run());
            }
            let clients = shared.bounds.connections.clone();
            let admin_listener = admin.as_ref().map(|admin| admin.listener.clone());
            let admin_task = admin.map(|admin| tokio::spawn(accept_admin(admin, clients)));
            if let Some(admin_task) = &admin_task {
                driver.answers_on_admin(admin_task.abort_handle());
            }
            match accepting {
                Accepting::Alone(listeners) => listeners.into_iter().for_each(|listener| driver.accept_on(listener)),
                Accepting::InCluster(side) => side.begin(&mut driver),
            }
            if let Some((time_slicer, slice)) = time_slicer {
                tokio::spawn(time_slicer.run(slice, shared.services.stats.clone()));
            }
            tokio::spawn(run_timers(shared.clone()));
            let checking = tokio::spawn(check_spool(shared.clone()));
            if driver.run(inbox).await {
                // The descriptor is the next image's.
                std::mem::forget(admin_listener);
            }
            if let Some(heartbeat) = heartbeat {
                heartbeat.beat();
            }
            // A server that ends at once leaves no file behind; where TMPDIR hangs, the server does not wait for it.
            let _ = tokio::time::timeout(CHECK_TIMEOUT, checking).await;
            if let Some(admin_task) = admin_task {
                admin_task.abort();
            }
        });
        // What a forced end has left is dropped, and with it its sockets. A file read under way may finish by itself.
        runtime.shutdown_background();
        let deadline = Instant::now() + LOG_FLUSH_AT_END;
        // Before the workers come to their end, about which the app may have something to say.
        logs.finish_last(deadline);
        shared.services.queue.close();
        shared.services.access_log.iter().for_each(|log| logs.finish_access(log, deadline));
        drop(stopped);
    }
}

/// Runs the server's timers: requests that wait or run for too long, and memory after a rush. Never ends.
async fn run_timers(shared: Arc<Shared>) {
    let services = &shared.services;
    let report = |stuck: Overdue| services.warnings.stuck(stuck.method.as_str(), &stuck.path, stuck.held);
    tokio::join!(
        services.queue.run_timers(report),
        services.queue.watch_pauses(),
        shared.bounds.memory.run(trim_memory)
    );
}

/// Tells the operator at once where bodies cannot be spooled.
async fn check_spool(shared: Arc<Shared>) {
    let directory = &shared.settings.spool_directory;
    if let Err(error) = Spool::check(directory).await {
        shared.services.warnings.spool_failed(&error, directory, now());
    }
}

/// Ends the process when it is time, and says so.
pub(super) fn watchdog(observer: Observer, logs: Logs, phases: watch::Receiver<Phase>) -> io::Result<Watchdog> {
    Watchdog::start(move || {
        let phase = *phases.borrow();
        let status = if let Phase::Stopped { status } = phase { status } else { 1 };
        end_process(&observer, &logs, status, phase)
    })
}

pub(super) fn end_process(observer: &Observer, logs: &Logs, status: i32, phase: Phase) -> ! {
    observer(&LogEvent::Overdue { status, phase });
    logs.finish_last(Instant::now() + LAST_LINE_FLUSH);
    sys::exit_now(status)
}

/// Passes signals on to the driver, until they are ignored.
async fn forward_signals(stream: StdUnixStream, messages: mpsc::Sender<Message>, control: Option<Arc<Control>>) {
    let Ok(mut stream) = UnixStream::from_std(stream) else { return };
    while let Ok(byte) = stream.read_u8().await {
        if let Some(event) = signal_of(byte).and_then(|signal| event_of(signal, control.as_deref())) {
            // Full means that as many events wait already.
            let _ = messages.try_send(Message { event, at: now() });
        }
    }
}

/// On a thread of its own, because it takes some milliseconds; returns the CPU time.
async fn trim_memory() -> Duration {
    let trim = || {
        let before = sys::clock::thread_cpu();
        sys::trim_memory();
        sys::clock::thread_cpu().saturating_sub(before)
    };
    // What can't be given back stays.
    tokio::task::spawn_blocking(trim).await.unwrap_or_default()
}
