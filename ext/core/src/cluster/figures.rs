//! What a worker publishes of itself each second, and again when it makes a report itself, so that each worker can report for all.

use crate::stats::figures::figures;

figures! {
    /// What reports tell of a worker beside its counters.
    pub(crate) struct WorkerFigures in FigureCells {
        /// Threads in the app that have the GVL or want it.
        threads_active: Sum,
        /// Threads in the app without it.
        threads_waiting: Sum,
        /// Threads that are not in the app.
        threads_idle: Sum,
        /// Threads that do not come back from a request which has exceeded `request_timeout`.
        threads_stuck: Sum,
        /// Threads that there may be.
        threads_limit: Sum,
        /// Requests that wait for a thread.
        queue_depth: Sum,
        /// Requests that may wait.
        queue_limit: Sum,
        /// For how long requests have waited although no thread is in the app.
        unattended_ns: Max,
        /// Connections that there may be.
        connections_limit: Sum,
        /// Bytes of bodies in memory.
        buffered_bytes: Sum,
        /// Of these, bytes of request bodies.
        buffered_request_bytes: Sum,
        /// Bytes of bodies that there may be in memory; 0: no limit.
        buffer_limit_bytes: Sum,
        /// Bytes of bodies that went to a file because of that limit.
        spilled_bytes: Counter,
        /// What is left of a drain's present phase.
        drain_left_ns: Max,
        /// Connections accepted in a drain.
        drain_connections: Counter,
        /// Requests that came in a drain.
        drain_requests: Counter,
        /// Connections that came late in a drain.
        drain_late: Counter,
        /// When the last new connection came, from the signal on.
        drain_last_ns: Max,
        /// Lines of the server's log that were not written.
        server_lines_lost: Counter,
        /// Lines of the access log that were not written.
        access_lines_lost: Counter,
        /// Bytes of the process in the machine's memory; 0 where the kernel does not say.
        rss: Sum,
        /// CPU time of the process.
        cpu_ns: Counter,
    }
}

impl WorkerFigures {
    /// Threads in any state.
    pub(crate) fn threads(&self) -> u64 {
        self.threads_active + self.threads_waiting + self.threads_idle
    }
}
