//! The report as tables.

use std::io::{self, Write as _};

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::NOTHING};

use super::Report;
use crate::peers::Load;

impl Report {
    /// Prints tables of the results.
    pub fn print(&self) -> Result<()> {
        section("Nanoseconds a packet; net of a program that only sends it back", &self.packets())?;
        section("How they grow with what is configured, with 16,384 connections", &self.scaling())?;
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
        section("The daemon", &self.control())
    }

    fn packets(&self) -> Table {
        let mut table = table(&[
            "path",
            "flows",
            "net min",
            "net median",
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
                format!("{:.1}..{:.1}", row.total_min, row.total_max),
                format!("{:.1}", row.null_min),
                row.rounds.to_string(),
            ]);
        }
        align(&mut table);
        table
    }

    fn scaling(&self) -> Table {
        let mut table = table(&["path", "with", "net min", "net median", "rounds"]);
        // Growth with flows is in the table of packets.
        for row in self.scaling.iter().filter(|row| row.what != "flows") {
            table.add_row([
                row.path.to_owned(),
                format!("{} {}", row.size, row.what),
                format!("{:.1}", row.net_min),
                format!("{:.1}", row.net_median),
                row.rounds.to_string(),
            ]);
        }
        align(&mut table);
        table
    }

    fn live_frames(&self) -> Table {
        let mut table = table(&["program", "packets/s", "min..max", "rounds"]);
        for row in &self.live_frames {
            table.add_row([
                row.program.name().to_owned(),
                format!("{:.0}", row.pps_median),
                format!("{:.0}..{:.0}", row.pps_min, row.pps_max),
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

    fn control(&self) -> Table {
        let mut table = table(&["what", "median", "min..max", "rounds"]);
        for row in &self.control {
            table.add_row([
                row.what.to_owned(),
                format!("{:.1} {}", row.median, row.unit),
                format!("{:.1}..{:.1}", row.min, row.max),
                row.rounds.to_string(),
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

/// Formats a count and the number of its losses.
fn lost(lost: usize, of: usize) -> String {
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
