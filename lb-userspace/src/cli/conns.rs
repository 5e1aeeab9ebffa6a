//! `conns`: current connections.

mod kill;

use std::{
    borrow::Cow,
    io::{self, BufWriter, IsTerminal as _, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use lb_client::{Client, STRANGE};
use lb_model::connections::{ClientCount, Clients, Counts, Filter, MOST};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    args::{Conns, Format, Output},
    exit::Failure,
    output::{align_numbers, count, print_json, print_line, print_table, table},
    patience::searching,
};
use lb_host::printable;

pub(super) async fn conns(
    client: &Client,
    conns: Conns,
    output: Output,
) -> Result<ExitCode, Failure> {
    let format = output.format;
    let end = conns.end;
    let counts = conns.count;
    let is_of_clients = conns.top.is_some();
    let filter = filter(conns);
    if filter.sort.is_some() && filter.limit > Some(MOST) {
        let hint = anyhow!("--limit is {MOST} at most with --sort");
        return Err(Failure::Usage(hint));
    }
    if end.kill {
        kill::kill(client, filter, end, output).await?;
    } else if counts {
        let counting = client.count_connections(&filter);
        print_counts(searching(client, output, counting).await?, format)?;
    } else if is_of_clients {
        let counting = client.busiest_clients(&filter);
        print_clients(&searching(client, output, counting).await?, format)?;
    } else if io::stdout().is_terminal() {
        list(client, &filter, format).await?;
    } else {
        searching(client, output, list(client, &filter, format)).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn filter(conns: Conns) -> Filter {
    let Conns { service, backend, client, state, idle_over, sort, reverse, top, limit, .. } = conns;
    Filter { service, backend, client, state, idle_over, sort, reverse, limit: limit.or(top) }
}

/// Streams the list, so that neither the daemon nor this program has all of it in memory.
async fn list(client: &Client, filter: &Filter, format: Format) -> Result<(), Failure> {
    let mut lines = client.connections(filter).await?;
    let mut out = BufWriter::new(io::stdout());
    let mut has_headings = format == Format::Json;
    while let Some(some) = lines.next::<Box<RawValue>>().await? {
        for one in some {
            let text = printable::json(one.get());
            if format == Format::Json {
                writeln!(out, "{text}")?;
                continue;
            }
            let told: Told<'_> = serde_json::from_str(&text).context(STRANGE)?;
            if !has_headings {
                write_headings(&mut out, format, told.bytes().is_some())?;
                has_headings = true;
            }
            write_connection(&mut out, format, &told)?;
        }
    }
    if !has_headings {
        write_headings(&mut out, format, false)?;
    }
    Ok(out.flush()?)
}

/// Columns after the sixth are only in a wide table.
type Row<'a> = [&'a str; 8];

const HEADINGS: Row<'_> = ["SERVICE", "CLIENT", "BACKEND", "STATE", "AGE", "IDLE", "VIP", "SOURCE"];

/// Columns with `limits.accounting`.
const TRAFFIC: [&str; 4] = ["BYTES-IN", "BYTES-OUT", "PACKETS-IN", "PACKETS-OUT"];

/// [`Connection`](lb_model::connections::Connection) with unparsed strings.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    service: Option<Cow<'a, str>>,
    client: &'a str,
    vip: &'a str,
    source: &'a str,
    backend: &'a str,
    state: &'a str,
    age_seconds: f64,
    idle_seconds: f64,
    packets_in: Option<u64>,
    packets_out: Option<u64>,
    bytes_in: Option<u64>,
    bytes_out: Option<u64>,
}

impl Told<'_> {
    /// Returns the bytes in and out, if they are counted.
    fn bytes(&self) -> Option<[u64; 2]> {
        Some([self.bytes_in?, self.bytes_out?])
    }
}

fn write_connection(out: &mut impl Write, format: Format, told: &Told<'_>) -> io::Result<()> {
    let Told { client, vip, source, backend, state, .. } = *told;
    let service = &*printable::line(told.service.as_deref().unwrap_or("-"));
    let (age, idle) = (span(told.age_seconds), span(told.idle_seconds));
    let numbers = [told.bytes_in, told.bytes_out, told.packets_in, told.packets_out];
    let numbers = numbers.map(|one| one.map(|one| one.to_string()).unwrap_or_default());
    let traffic = told.bytes().map(|_| numbers.each_ref().map(String::as_str));
    write_row(out, format, &[service, client, backend, state, &age, &idle, vip, source], traffic)
}

fn write_headings(out: &mut impl Write, format: Format, is_accounted: bool) -> io::Result<()> {
    write_row(out, format, &HEADINGS, is_accounted.then_some(TRAFFIC))
}

/// Packets are only in a wide table.
fn write_row(
    out: &mut impl Write,
    format: Format,
    row: &Row<'_>,
    traffic: Option<[&str; 4]>,
) -> io::Result<()> {
    let [service, client, backend, state, age, idle, vip, source] = row;
    write!(out, "{service:<15} {client:<21} {backend:<21} {state:<11} {age:>8} {idle:>8}")?;
    if let Some([bytes_in, bytes_out, packets_in, packets_out]) = traffic {
        write!(out, " {bytes_in:>13} {bytes_out:>13}")?;
        if format == Format::Wide {
            write!(out, " {packets_in:>11} {packets_out:>11}")?;
        }
    }
    if format == Format::Wide {
        write!(out, "  {vip:<21} {source}")?;
    }
    writeln!(out)
}

/// Formats seconds in the two largest units.
pub(crate) fn span(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1}s");
    }
    let whole = Duration::from_secs_f64(seconds).as_secs();
    let (days, hours) = (whole / 86_400, whole / 3_600 % 24);
    let (minutes, seconds) = (whole / 60 % 60, whole % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m{seconds:02}s"),
        (0, _) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

fn print_counts(counts: Counts, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return Ok(print_json(&counts)?);
    }
    let Counts { total, half_open, refused, answered, established, closing, closed } = counts;
    Ok(print_line(&format!(
        "{}: {established} established, {half_open} half-open, {refused} refused, \
         {answered} answered, {closing} closing, {closed} closed",
        count(total, "connection"),
    ))?)
}

fn print_clients(found: &Clients, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return Ok(print_json(found)?);
    }
    let mut rows = table(&["CLIENT", "CONNECTIONS"]);
    for ClientCount { client, connections } in &found.busiest {
        rows.add_row([client.to_string(), connections.to_string()]);
    }
    align_numbers(&mut rows, &[1]);
    print_table(&rows)?;
    let (clients, connections) =
        (count(found.clients, "client"), count(found.connections, "connection"));
    Ok(print_line(&format!("{clients} in all, {connections}"))?)
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_are_short() {
        let told = [0.0, 59.94, 61.0, 3_599.0, 7_260.0, 90_000.0].map(span);
        assert_eq!(told, ["0.0s", "59.9s", "1m01s", "59m59s", "2h01m", "1d01h"]);
    }
}
