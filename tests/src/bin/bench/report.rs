//! What the benchmark prints.

use std::io::{self, Write as _};

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;

use crate::packets::Cost;

#[derive(Serialize)]
pub struct Report {
    ns_per_packet: Vec<PacketRow>,
}

/// Nanoseconds of CPU time.
#[derive(Serialize)]
struct PacketRow {
    path: &'static str,
    family: &'static str,
    mode: &'static str,
    flows: u64,
    net_min: f64,
    net_median: f64,
    total_min: f64,
    total_median: f64,
    total_max: f64,
    null_min: f64,
    null_median: f64,
    rounds: usize,
}

impl From<&Cost> for PacketRow {
    fn from(cost: &Cost) -> Self {
        Self {
            path: cost.path,
            family: "v4",
            mode: "nat",
            flows: cost.flows,
            net_min: cost.net_min(),
            net_median: cost.net_median(),
            total_min: cost.total.min(),
            total_median: cost.total.median(),
            total_max: cost.total.max(),
            null_min: cost.floor.min(),
            null_median: cost.floor.median(),
            rounds: cost.total.rounds(),
        }
    }
}

impl Report {
    #[must_use]
    pub fn new(packets: &[Cost]) -> Self {
        Self { ns_per_packet: packets.iter().map(PacketRow::from).collect() }
    }

    pub fn print_json(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, self)?;
        writeln!(out)?;
        Ok(())
    }

    pub fn print(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "Nanoseconds a packet; net of a program that only sends it back")?;
        writeln!(out, "{}\n", self.packets())?;
        Ok(())
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
}

fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(headings);
    table
}

/// Names to the left, numbers to the right.
fn align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
