//! Removal of the line before a signal ends the process.

use std::{
    ffi::c_int,
    fs, io,
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
        let ignored = ignored(&fs::read_to_string("/proc/self/status")?);
        let is_heeded = |signal: &c_int| ignored & (1 << (signal - 1)) == 0;
        let signals = Signals::new([SIGHUP, SIGINT, SIGTERM].into_iter().filter(is_heeded))?;
        thread::Builder::new().name("signals".to_owned()).spawn(move || watch(signals))?;
    }
    *shown = Some(bar.downgrade());
    Ok(())
}

/// Returns the set of ignored signals, as nohup ignores some, from the status of a process.
fn ignored(status: &str) -> u64 {
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_ignores_the_end_of_a_session() {
        let status = "Name:\tsh\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000000001\n";
        assert_eq!(ignored(status), 1 << (SIGHUP - 1));
        assert_eq!(ignored("Name:\tsh\n"), 0);
    }
}
