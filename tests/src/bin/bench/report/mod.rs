//! Results: rows, stored as JSON, printed as tables, and plotted.

mod failures;
mod goals;
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
    packets::{CpusRow, MemoryRow, PacketRow, ScalingRow},
};
use crate::{
    control, flood, live,
    packets::{Measured, Scaling, SpeedUp},
    peers,
};

#[derive(Default, Serialize)]
pub struct Report {
    pub ns_per_packet: Vec<PacketRow>,
    pub memory: Vec<MemoryRow>,
    pub scaling: Vec<ScalingRow>,
    pub cpus: Vec<CpusRow>,
    pub live_frames: Vec<live::Row>,
    pub end_to_end: Vec<peers::Row>,
    pub flood: Vec<flood::Row>,
    pub control: Vec<control::Row>,
    pub watched: Vec<control::Row>,
    pub failures: Failures,
}

impl Report {
    pub fn add_packets(&mut self, Measured { costs, memory }: &Measured) {
        self.ns_per_packet.extend(PacketRow::all(costs));
        self.scaling.extend(ScalingRow::of_flows(costs));
        self.memory.extend(memory.iter().map(MemoryRow::from));
    }

    pub fn add_scaling(&mut self, scalings: &[Scaling]) {
        self.scaling.extend(scalings.iter().flat_map(ScalingRow::of));
    }

    pub fn add_speed_ups(&mut self, speed_ups: &[SpeedUp]) {
        self.cpus.extend(speed_ups.iter().map(CpusRow::from));
    }

    pub fn print_json(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, self)?;
        writeln!(out)?;
        Ok(())
    }

    /// Saves the raw figures to a directory.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let path = directory.join("results.json");
        let save = || {
            fs::create_dir_all(directory)?;
            serde_json::to_writer_pretty(File::create(&path)?, self).map_err(io::Error::from)
        };
        save().with_context(|| format!("cannot write {}", path.display()))
    }
}
