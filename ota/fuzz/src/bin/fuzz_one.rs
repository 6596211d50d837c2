//! libFuzzer around one target, which `ROAMCORE_FUZZ` names. Started by `roamcore-fuzz`, which owns its arguments.

#![no_main]

use std::sync::OnceLock;

use roamcore_fuzz::{Target, target};

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(init: {
    let name = std::env::var("ROAMCORE_FUZZ").unwrap_or_default();
    let Some(chosen) = target(&name) else {
        eprintln!("ROAMCORE_FUZZ is {name:?}, which is no target; use `just fuzz`");
        std::process::exit(2);
    };
    CHOSEN.get_or_init(|| chosen);
}, |bytes: &[u8]| {
    if let Some(target) = CHOSEN.get() {
        (target.run)(bytes);
    }
});
