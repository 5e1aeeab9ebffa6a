//! Removal of the line before a signal ends the process.

use std::{
    io,
    sync::{Mutex, PoisonError},
    thread,
};

use indicatif::{ProgressBar, WeakProgressBar};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

/// The line to remove; None before the first one.
static SHOWN: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

pub(super) fn clear_before(bar: &ProgressBar) -> io::Result<()> {
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if shown.is_none() {
        let signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        thread::Builder::new().name("signals".to_owned()).spawn(move || watch(signals))?;
    }
    *shown = Some(bar.downgrade());
    Ok(())
}

fn watch(mut signals: Signals) {
    for signal in signals.forever() {
        let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = shown.as_ref().and_then(WeakProgressBar::upgrade) {
            bar.finish_and_clear();
        }
        // It ends the process.
        emulate_default_handler(signal).ok();
    }
}
