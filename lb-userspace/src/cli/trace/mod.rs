//! `trace`: packets as the program handles them.

mod line;
mod pcapng;
mod sink;

use std::{io, process::ExitCode};

use lb_client::{Client, Lines};
use lb_model::views::trace::{Began, Ended, TraceLine};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::sink::Sink;
use super::{
    args::{Output, Trace},
    exit::Failure,
    output::{count, print_error},
};

pub(super) async fn trace(
    client: &Client,
    trace: Trace,
    output: Output,
) -> Result<ExitCode, Failure> {
    sink::check(trace.write.as_deref(), output).map_err(Failure::Usage)?;
    let lines = client.trace(&trace.filter()).await?;
    let sink = Sink::open(trace.write.as_deref(), output)?;
    let mut tally = Tally::default();
    let ended = record(lines, sink, trace.count, &mut tally).await;
    tally.print();
    match ended {
        Err(failure) if failure.is_closed_pipe() => {
            print_error("nobody reads the packets any more: the pipe is closed");
        }
        ended => ended?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Numbers of packets.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    told: u64,
    left_out: u64,
}

impl Tally {
    fn print(self) {
        let Self { told, left_out } = self;
        let left_out = if left_out == 0 { "none".to_owned() } else { left_out.to_string() };
        print_error(format_args!("{} recorded, {left_out} left out", count(told, "packet")));
    }
}

/// Writes packets until the trace ends, or as many as are wanted.
async fn record(
    mut lines: Lines,
    mut sink: Sink,
    wanted: Option<u64>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    while let Some(some) = stop.or_next(&mut lines).await? {
        for line in some {
            match line {
                TraceLine::Began(began) => say_began(began),
                TraceLine::Ended(Ended { why }) => {
                    print_error(format_args!("the daemon has ended the trace: {why}"));
                }
                TraceLine::LeftOut(count) => tally.left_out = count,
                TraceLine::Packet(packet) => {
                    sink.packet(&packet)?;
                    tally.told += 1;
                }
            }
            if wanted.is_some_and(|wanted| tally.told >= wanted) {
                return Ok(sink.flush()?);
            }
        }
        sink.flush()?;
    }
    Ok(())
}

fn say_began(Began { instructions, usual_instructions }: Began) {
    print_error(format_args!(
        "recording ({instructions} instructions, normally {usual_instructions}); stops at ^C"
    ));
}

/// Signals that end a trace.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        Ok(Self { interrupt: interrupt?, terminate: terminate? })
    }

    /// Returns the next piece of a trace, or None if it has ended or shall end.
    async fn or_next(&mut self, lines: &mut Lines) -> Result<Option<Vec<TraceLine>>, Failure> {
        tokio::select! {
            _ = self.interrupt.recv() => Ok(None),
            _ = self.terminate.recv() => Ok(None),
            some = lines.next() => Ok(some?),
        }
    }
}
