//! What is different where the server is a worker's: it listens on sockets that it shares, its phases are the cluster's, and its master is
//! asked to end it.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

#[cfg(target_os = "linux")]
use super::accept_thread::AcceptThread;
#[cfg(not(target_os = "linux"))]
use super::listener::SharedListener;
use super::{Message, Observer, Server, control::Control, inbox, io_thread::ClusterSide, listener::Bound};
use crate::{
    admin::{commands::Ending, questions::Questions},
    cluster::{Cluster, DrainFigures, Member, WorkerState},
    connection::{Shared, Siblings},
    error::Error,
    lifecycle::{Event, Phase, Signal, plan::Plan},
    log::{Logs, event::LogEvent, summary::Summary},
    sync::now,
};

/// What a worker of a cluster begins to wait with.
pub(super) struct ClusterStart<'a> {
    pub(super) siblings: &'a Arc<Siblings>,
    pub(super) control: &'a Arc<Control>,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) messages: &'a mpsc::Sender<Message>,
    pub(super) observer: &'a Observer,
    pub(super) questions: &'a Questions,
}

impl ClusterStart<'_> {
    /// Listens. Needs the runtime.
    pub(super) fn begin(self, bound: Vec<Bound>) -> Result<ClusterSide, Error> {
        let Self { siblings, control, shared, messages, observer, questions } = self;
        let listeners = bound.into_iter().map(Bound::listen_shared).collect::<Result<Vec<_>, _>>()?;
        Ok(ClusterSide {
            inbox: inbox::watch(siblings.inbox()).map_err(Error::runtime)?,
            control: Box::pin(control.clone().listen(messages.clone()).map_err(Error::runtime)?),
            #[cfg(target_os = "linux")]
            thread: AcceptThread::start(listeners, shared.clone(), siblings.clone(), observer.clone())
                .map_err(Error::runtime)?,
            #[cfg(not(target_os = "linux"))]
            listeners: listeners
                .into_iter()
                .map(SharedListener::into_listener)
                .collect::<Result<_, _>>()
                .map_err(Error::runtime)?,
            #[cfg(not(target_os = "linux"))]
            adoption: inbox::watch(siblings.adoption()).map_err(Error::runtime)?,
            questions: (*questions).clone(),
            siblings: siblings.clone(),
        })
    }
}

/// The phases of a worker are the cluster's: the worker that enters one first tells of it, and the master of the whole.
pub(super) fn phases_once(observer: Observer, member: Member) -> Observer {
    Arc::new(move |event| {
        let told = match event {
            LogEvent::Entered { phase: Phase::Retiring { .. }, .. } => false,
            LogEvent::Entered { phase, .. } => member.tells_of(WorkerState::of(phase)),
            LogEvent::Summary(summary) => {
                member.has_drained(&figures(summary));
                false
            }
            LogEvent::Ready { .. }
            | LogEvent::Clamped(_)
            | LogEvent::ListenersClosed { lossless: true, .. }
            | LogEvent::Extended { .. }
            | LogEvent::Late(_)
            | LogEvent::Unmoved(..) => false,
            _ => true,
        };
        if told {
            observer(event);
        }
    })
}

/// What a worker has done in the drain, for its cluster's summary.
fn figures(summary: &Summary) -> DrainFigures {
    let mut figures = DrainFigures {
        workers: 1,
        told: 0,
        delay_ms: summary.delay.as_millis() as u64,
        connections: summary.connections,
        requests: summary.requests,
        last_connection_ms: 0,
        late: summary.late,
        told_close: summary.told_close,
        idle_closed: summary.idle_closed,
        rejected: summary.rejected,
        cut: summary.cut,
        unsent: summary.unsent,
        hijacked: summary.hijacked,
    };
    figures.set_last_connection(summary.last_connection);
    figures
}

/// The summary of a cluster's drain.
fn summary_of(done: &DrainFigures, plan: Plan, took: Duration, status: i32) -> Summary {
    Summary {
        took,
        plan,
        delay: Duration::from_millis(done.delay_ms),
        connections: done.connections,
        requests: done.requests,
        last_connection: done.last_connection(),
        late: done.late,
        told_close: done.told_close,
        idle_closed: done.idle_closed,
        rejected: done.rejected,
        cut: done.cut,
        unsent: done.unsent,
        hijacked: done.hijacked,
        status,
    }
}

impl Server {
    /// Tells what the workers of this server have done in the drain of their cluster. For the master, once they all have ended.
    /// It starts the threads of `logs`: the process forks no more.
    pub fn report_drain(&self, cluster: &Cluster, logs: &Logs, took: Duration, status: i32) {
        // Nothing can be said without it.
        let _ = logs.start();
        logs.write(&LogEvent::Summary(summary_of(&cluster.drained(), self.plan, took, status)));
    }
}

/// Ends the server, as a client of the admin listener wants it; in a cluster the master does, for all.
pub(super) fn ending(
    control: Option<Arc<Control>>,
    messages: mpsc::Sender<Message>,
) -> Box<dyn Fn(Ending) + Send + Sync> {
    Box::new(move |ending| {
        if let Some(control) = &control {
            return control.tell(if ending == Ending::Drain { "drain\n" } else { "halt\n" });
        }
        let events: &[Event] = match ending {
            Ending::Drain => &[Event::Drain],
            // The second one waits for nothing.
            Ending::Halt => &[Event::Signal(Signal::Int); 2],
        };
        for event in events {
            // Full means that as many events wait already.
            let _ = messages.try_send(Message { event: *event, at: now() });
        }
    })
}
