//! The results: rows, saved as JSON, printed as tables, and plotted.

mod failures;
mod packets;
mod tables;

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

pub use self::{
    failures::Failures,
    packets::{PacketRow, ScalingRow},
};
use crate::{
    control, flood, live,
    packets::{Cost, Scaling},
    peers,
};

#[derive(Default, Serialize)]
pub struct Report {
    pub ns_per_packet: Vec<PacketRow>,
    pub scaling: Vec<ScalingRow>,
    pub live_frames: Vec<live::Row>,
    pub end_to_end: Vec<peers::Row>,
    pub flood: Vec<flood::Row>,
    pub control: Vec<control::Row>,
    pub failures: Failures,
}

impl Report {
    pub fn add_packets(&mut self, costs: &[Cost]) {
        self.ns_per_packet.extend(costs.iter().map(PacketRow::from));
        self.scaling.extend(ScalingRow::of_flows(costs));
    }

    pub fn add_scaling(&mut self, scalings: &[Scaling]) {
        self.scaling.extend(scalings.iter().flat_map(ScalingRow::of));
    }

    pub fn print_json(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, self)?;
        writeln!(out)?;
        Ok(())
    }

    /// Saves the raw figures in a directory.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let path = directory.join("results.json");
        let save = || {
            fs::create_dir_all(directory)?;
            serde_json::to_writer_pretty(File::create(&path)?, self).map_err(io::Error::from)
        };
        save().with_context(|| format!("cannot write {}", path.display()))
    }
}
