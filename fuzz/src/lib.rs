//! The targets of `bin/fuzz`: each takes any bytes, and panics where they come out as they must not. Most are in the core
//! (`tidegate_core::fuzzing`), because they name what is private; what compares with other parsers is here.

mod differential;

use tidegate_core::fuzzing;

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All there are, by the names that `bin/fuzz` and the directories in `corpus` have.
pub const TARGETS: &[Target] = &[
    ("added_headers", fuzzing::added_headers),
    ("address", fuzzing::address),
    ("connection", fuzzing::connection),
    ("dechunk", fuzzing::dechunk),
    ("differential", differential::compare),
    ("file_body", fuzzing::file_body),
    ("forwarded", fuzzing::forwarded),
    ("frames", fuzzing::frames),
    ("guard", fuzzing::guard),
    ("http2", fuzzing::http2),
    ("proxy_protocol", fuzzing::proxy_protocol),
    ("settings", fuzzing::settings),
    ("target", fuzzing::target),
];

/// The target of that name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(of, _)| *of == name).map(|(_, target)| *target)
}
