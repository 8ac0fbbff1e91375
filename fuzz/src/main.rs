//! libFuzzer with the target that FUZZ_TARGET names: one program for all, so that it is built once.
#![no_main]

use std::{env, process::exit, sync::LazyLock};

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = env::var("FUZZ_TARGET").unwrap_or_default();
    tidegate_fuzz::target(&name).unwrap_or_else(|| {
        eprintln!("there is no target {name:?}");
        exit(1)
    })
});

fuzz_target!(|data: &[u8]| TARGET(data));
