//! A panic anywhere ends the daemon, so that no task or thread can die unnoticed. Forwarding
//! continues, and systemd restarts the daemon.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{PanicHookInfo, set_hook},
    process, thread,
};

/// `EX_SOFTWARE` of sysexits(3).
const EXIT_CODE: i32 = 70;

/// Makes a panic in any thread or task end the process.
pub fn end_process() {
    set_hook(Box::new(|panic| {
        report(panic);
        process::exit(EXIT_CODE);
    }));
}

fn report(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("no message");
    log::error!(
        "the daemon ends because of a bug: panic in thread {name}{place}: {message}; forwarding \
         continues, please report this"
    );
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        log::error!("{trace}");
    }
}
