//! Whether the system has room for more threads: asked by starting some. Ruby 3.3 waits for ever, with all its threads, once it could not
//! start one.

use std::{
    sync::{Arc, RwLock},
    thread,
};

/// The stack of a Ruby thread, unless the app says otherwise.
const STACK: usize = 1 << 20;

/// Whether `count` threads can be there beside those that there are. They end before this returns.
pub(crate) fn threads_start(count: usize) -> bool {
    let gate = Arc::new(RwLock::new(()));
    let mut probes = Vec::with_capacity(count);
    {
        // All of them are there until this goes.
        let _closed = gate.write();
        for _ in 0..count {
            let gate = gate.clone();
            match thread::Builder::new().stack_size(STACK).spawn(move || drop(gate.read())) {
                Ok(probe) => probes.push(probe),
                Err(_) => break,
            }
        }
    }
    let all = probes.len() == count;
    for probe in probes {
        // A probe has nothing that could panic.
        let _ = probe.join();
    }
    all
}
