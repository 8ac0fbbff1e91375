//! Clients of HTTP/2 that made the server work for nothing, by how: each such connection is ended, and leaves a trace in the metrics
//! and in the log.

use super::counter::labels;

labels! {
    /// What a client of HTTP/2 sent too much of, beside what it asked for.
    pub(crate) enum Flood by "reason" {
        /// RST_STREAM: requests that the client takes back (CVE-2023-44487, "rapid reset").
        Reset = "reset",
        /// Frames that the server has to answer with RST_STREAM (CVE-2025-8671, "MadeYouReset"; CVE-2019-9514).
        ProvokedReset = "provoked_reset",
        /// PING (CVE-2019-9512).
        Ping = "ping",
        /// SETTINGS (CVE-2019-9515).
        Settings = "settings",
        /// PRIORITY and PRIORITY_UPDATE (CVE-2019-9513).
        Priority = "priority",
        /// WINDOW_UPDATE (CVE-2019-9511, "data dribble").
        WindowUpdate = "window_update",
        /// Frames of DATA, HEADERS or CONTINUATION with nothing in them (CVE-2019-9518).
        Empty = "empty",
        /// DATA in many small frames that the app does not take.
        SmallData = "small_data",
        /// CONTINUATION (CVE-2024-27316).
        Continuation = "continuation",
        /// A field block that is many times as large as the limit (CVE-2016-6581, "HPACK bomb").
        HeaderList = "header_list",
        /// Frames of a type that is not known here, or that has no use from a client.
        Unknown = "unknown",
    }
}

impl Flood {
    /// How a line of the log says it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Reset => "it took back too many requests",
            Self::ProvokedReset => "it made too many errors that end a stream",
            Self::Ping => "it sent too many PING frames",
            Self::Settings => "it sent too many SETTINGS frames",
            Self::Priority => "it sent too many PRIORITY frames",
            Self::WindowUpdate => "it sent too many WINDOW_UPDATE frames",
            Self::Empty => "it sent too many empty frames",
            Self::SmallData => "it sent a body in too many small frames",
            Self::Continuation => "it sent headers in too many small frames",
            Self::HeaderList => "its headers were many times as large as head_limit",
            Self::Unknown => "it sent too many frames of unknown types",
        }
    }

    /// What h2 has refused, by what its GOAWAY says for debugging; `None` where that is nothing of the kind.
    pub(crate) fn of_h2(debug_data: &[u8]) -> Option<Self> {
        match debug_data {
            b"too_many_resets" => Some(Self::Reset),
            b"too_many_internal_resets" => Some(Self::ProvokedReset),
            b"too_many_data_frames" => Some(Self::SmallData),
            b"too_many_continuations" => Some(Self::Continuation),
            b"header_list_way_too_large" => Some(Self::HeaderList),
            _ => None,
        }
    }
}
