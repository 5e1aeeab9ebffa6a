//! Tables of the report.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::NOTHING};

use super::Report;
use crate::{control, peers::Load};

impl Report {
    /// Prints tables of the results.
    pub fn print(&self) -> Result<()> {
        section(
            "Nanoseconds a packet; net of a program that only sends it back. Medians of the ratios in\n\
             each round: to the kernel's hash map with NAT, and to the memory that must be read (one\n\
             line, two for a new connection); and of the goal",
            &self.packets(),
        )?;
        section(
            "Bytes of a table for each flow and connection that it is made for",
            &self.memory(),
        )?;
        section("How they grow with what is configured, with 16,384 connections", &self.scaling())?;
        section(
            "Nanoseconds a packet, net, on one CPU and on both at once; rate of both to that of one.\n\
             Rounds in which other work kept them from running at once count only if there are hardly\n\
             any others",
            &self.cpus(),
        )?;
        section(
            "Packets a second that one CPU takes from a veth, handles and sends back",
            &self.live_frames(),
        )?;
        for load in Load::ALL {
            let (name, rate, unit) = (load.name(), load.fixed_rate(), load.unit());
            let headline = format!(
                "Load {name}; CPU of the whole machine at {rate} {unit}/s,\n\
                 marginal: less that of plain routing in the same round, and where its median\n\
                 lies by 95 %. Rounds at full tilt, and pairs of rounds for CPU; disturbed ones,\n\
                 in which something else kept the machine busy, count only if all were"
            );
            section(&headline, &self.peers(load))?;
        }
        section(
            "A SYN flood to the served port: what came a second, requests of a canary that\n\
             opens a connection for each, and of connections that were there before",
            &self.flood(),
        )?;
        section("The daemon", &quantities(&self.control))?;
        section("Looking at the balancer", &quantities(&self.watched))
    }

    fn packets(&self) -> Table {
        let mut table = table(&[
            "path",
            "flows",
            "net min",
            "net median",
            "/ hash_nat",
            "/ lines",
            "goal",
            "",
            "total min..max",
            "null min",
            "rounds",
        ]);
        for row in &self.ns_per_packet {
            table.add_row([
                row.path.to_owned(),
                row.flows.to_string(),
                format!("{:.1}", row.net_min),
                format!("{:.1}", row.net_median),
                hundredths(row.to_hash_nat),
                hundredths(row.to_lines),
                row.goal.map_or_else(nothing, |goal| format!("<= {goal:.1}")),
                verdict(row.is_goal_met),
                format!("{:.1}..{:.1}", row.total_min, row.total_max),
                format!("{:.1}", row.null_min),
                row.rounds.to_string(),
            ]);
        }
        align(&mut table);
        table
    }

    fn scaling(&self) -> Table {
        let mut table = table(&["path", "with", "net min", "net median", "/ hash_nat", "rounds"]);
        // Growth with flows is shown in the table of packets.
        for row in self.scaling.iter().filter(|row| row.what != "flows") {
            table.add_row([
                row.path.to_owned(),
                format!("{} {}", row.size, row.what),
                format!("{:.1}", row.net_min),
                format!("{:.1}", row.net_median),
                hundredths(row.to_hash_nat),
                row.rounds.to_string(),
            ]);
        }
        align(&mut table);
        table
    }

    fn memory(&self) -> Table {
        let mut table =
            table(&["table", "connections", "bytes/flow", "bytes/connection", "goal", ""]);
        for row in &self.memory {
            table.add_row([
                row.table.to_owned(),
                row.connections.to_string(),
                format!("{:.0}", row.bytes_per_flow),
                format!("{:.0}", row.bytes_per_connection),
                row.goal.map_or_else(nothing, |goal| format!("<= {goal:.0}")),
                verdict(row.goal.map(|goal| row.bytes_per_connection <= goal)),
            ]);
        }
        align(&mut table);
        table
    }

    fn cpus(&self) -> Table {
        let mut table = table(&[
            "path",
            "flows",
            "one: min",
            "median",
            "both: min",
            "median",
            "speed-up",
            "min..max",
            "goal",
            "",
            "refused",
            "rounds",
            "disturbed",
        ]);
        for row in &self.cpus {
            let [least, most] = row.speed_up_range;
            table.add_row([
                row.path.to_owned(),
                row.flows.to_string(),
                format!("{:.1}", row.alone_min),
                format!("{:.1}", row.alone_median),
                format!("{:.1}", row.together_min),
                format!("{:.1}", row.together_median),
                format!("{:.2}", row.speed_up_median),
                format!("{least:.2}..{most:.2}"),
                row.goal.map_or_else(nothing, |goal| format!(">= {goal}")),
                verdict(row.goal.map(|goal| row.speed_up_median >= goal)),
                lost(row.refused, row.packets),
                row.rounds.to_string(),
                row.disturbed_rounds.to_string(),
            ]);
        }
        align(&mut table);
        table
    }

    fn live_frames(&self) -> Table {
        let mut table = table(&["program", "packets/s", "min..max", "/ null", "rounds"]);
        for row in &self.live_frames {
            table.add_row([
                row.program.name().to_owned(),
                format!("{:.0}", row.pps_median),
                format!("{:.0}..{:.0}", row.pps_min, row.pps_max),
                format!("{:.2}", row.to_null),
                row.rounds.to_string(),
            ]);
        }
        align(&mut table);
        table
    }

    fn flood(&self) -> Table {
        let mut table = table(&[
            "candidate",
            "SYN/s",
            "not taken/s",
            "canary lost",
            "p50 us",
            "p99 us",
            "established lost",
        ]);
        for row in &self.flood {
            table.add_row([
                row.candidate.name().to_owned(),
                format!("{:.0}", row.syn_per_s),
                format!("{:.0}", row.not_taken_per_s),
                lost(row.canary_lost, row.canary_requests),
                whole(row.canary_p50_us),
                whole(row.canary_p99_us),
                lost(row.established_lost, row.established_requests),
            ]);
        }
        align(&mut table);
        table
    }

    fn peers(&self, load: Load) -> Table {
        let mut table = table(&[
            "candidate",
            &format!("{}/s", load.unit()),
            "min..max",
            "p50 us",
            "p99 us",
            "p99.9 us",
            &format!("CPU us/{}", load.piece()),
            "marginal",
            "95 %",
            "rounds",
            "disturbed",
        ]);
        for row in self.end_to_end.iter().filter(|row| row.load == load) {
            let interval = row
                .marginal_cpu_us_per_request_interval
                .or(row.marginal_cpu_us_per_megabyte_interval);
            let marginal = row.marginal_cpu_us_per_request.or(row.marginal_cpu_us_per_megabyte);
            table.add_row([
                row.candidate.name().to_owned(),
                whole(row.requests_per_s.or(row.bits_per_s)),
                row.requests_per_s_range
                    .or(row.bits_per_s_range)
                    .map_or_else(nothing, |[least, most]| format!("{least:.0}..{most:.0}")),
                whole(row.p50_us),
                whole(row.p99_us),
                whole(row.p999_us),
                tenths(row.cpu_us_per_request.or(row.cpu_us_per_megabyte)),
                tenths(marginal),
                interval.map_or_else(nothing, |[low, high]| format!("{low:.1}..{high:.1}")),
                format!("{}, {}", row.throughput_rounds, row.marginal_rounds),
                row.disturbed_rounds.to_string(),
            ]);
        }
        align(&mut table);
        table
    }
}

fn quantities(rows: &[control::Row]) -> Table {
    let mut table = table(&["what", "median", "goal", "", "min..max", "rounds"]);
    for row in rows {
        table.add_row([
            row.what.to_owned(),
            format!("{:.1} {}", row.median, row.unit),
            row.goal.map_or_else(nothing, |goal| format!("<= {goal:.0}")),
            verdict(row.goal.map(|goal| row.median <= goal)),
            format!("{:.1}..{:.1}", row.min, row.max),
            row.rounds.to_string(),
        ]);
    }
    align(&mut table);
    table
}

/// Prints a table, if it has any rows.
fn section(headline: &str, table: &Table) -> Result<()> {
    if table.row_count() > 0 {
        writeln!(io::stdout().lock(), "{headline}\n{table}\n")?;
    }
    Ok(())
}

fn nothing() -> String {
    "-".to_owned()
}

fn whole(number: Option<f64>) -> String {
    number.map_or_else(nothing, |number| format!("{number:.0}"))
}

fn tenths(number: Option<f64>) -> String {
    number.map_or_else(nothing, |number| format!("{number:.1}"))
}

fn hundredths(number: Option<f64>) -> String {
    number.map_or_else(nothing, |number| format!("{number:.2}"))
}

/// Formats if a goal is met.
fn verdict(is_met: Option<bool>) -> String {
    is_met.map_or("", |is_met| if is_met { "met" } else { "missed" }).to_owned()
}

/// Formats a number of lost requests or packets.
fn lost(lost: impl Display, of: impl Display) -> String {
    format!("{lost} of {of}")
}

fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(headings);
    table
}

/// Aligns names to the left, numbers to the right.
fn align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
