//! `trace`: packets as the program handles them.

mod line;
mod pcapng;
mod sink;

use std::{io, process::ExitCode};

use anyhow::Context as _;
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
    let mut lines = client.trace(&trace.filter()).await?;
    let mut sink = Sink::open(trace.write.as_deref(), output)?;
    let mut stop = Stop::new()?;
    let (mut told, mut left_out) = (0, 0);
    while let Some(some) = stop.or_next(&mut lines).await? {
        for line in serde_json::Deserializer::from_slice(&some).into_iter() {
            match line.context(STRANGE)? {
                TraceLine::Began(began) => say_began(began),
                TraceLine::Ended(Ended { why }) => {
                    print_error(format_args!("the daemon has ended the trace: {why}"));
                }
                TraceLine::LeftOut(count) => left_out = count,
                TraceLine::Packet(packet) => {
                    sink.packet(&packet)?;
                    told += 1;
                }
            }
            if trace.count.is_some_and(|count| told >= count) {
                return finish(sink, told, left_out);
            }
        }
        sink.flush()?;
    }
    finish(sink, told, left_out)
}

const STRANGE: &str = "cannot parse the daemon's answer: is the daemon of another version?";

fn finish(mut sink: Sink, told: u64, left_out: u64) -> Result<ExitCode, Failure> {
    sink.flush()?;
    print_error(format_args!("{}, and {left_out} left out", count(told, "packet")));
    Ok(ExitCode::SUCCESS)
}

fn say_began(Began { instructions, usual_instructions }: Began) {
    print_error(format_args!(
        "recording, by a program of {instructions} instructions instead of {usual_instructions}, until ^C"
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
    async fn or_next(&mut self, lines: &mut Lines) -> Result<Option<Vec<u8>>, Failure> {
        tokio::select! {
            _ = self.interrupt.recv() => Ok(None),
            _ = self.terminate.recv() => Ok(None),
            some = lines.next() => Ok(some?),
        }
    }
}
