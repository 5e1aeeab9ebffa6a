//! Packets per second through a veth: frames arrive, are handled, and leave again, all on one CPU.

mod stand;

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use self::stand::Stand;
use crate::{plan::Plan, statistics::Sample};

/// Handler of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Handler {
    /// Drops them: the cost of the generator and one veth.
    Drop,
    /// Sends them back unchanged.
    Null,
    /// xdplb forwards them to the backend of their known connection.
    Known,
}

impl Handler {
    const ALL: [Self; 3] = [Self::Drop, Self::Null, Self::Known];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Null => "null",
            Self::Known => "known",
        }
    }
}

/// Packets per second handled by one program.
#[derive(Serialize)]
pub struct Row {
    pub program: Handler,
    pub pps_min: f64,
    pub pps_median: f64,
    pub pps_max: f64,
    /// Rate in units of that of `null`: median of all rounds.
    pub to_null: f64,
    pub rounds: usize,
}

impl Row {
    fn new(program: Handler, pps: Vec<f64>, null: &[f64]) -> Self {
        let ratios = pps.iter().zip(null).map(|(pps, null)| pps / null);
        let to_null = Sample::new(ratios.collect()).median();
        let pps = Sample::new(pps);
        Self {
            program,
            pps_min: pps.min(),
            pps_median: pps.median(),
            pps_max: pps.max(),
            to_null,
            rounds: pps.rounds(),
        }
    }
}

/// Extent of the measurement.
pub struct Extent {
    pub rounds: u32,
    pub duration: Duration,
}

/// Measures all programs in turn, several times.
pub fn measure(extent: &Extent) -> Result<Vec<Row>> {
    eprintln!("Measuring live frames");
    let mut stands = Vec::new();
    for handler in Handler::ALL {
        Plan::check()?;
        let stand = Stand::set_up(handler);
        stands.push(stand.with_context(|| format!("cannot set {} up", handler.name()))?);
    }
    let mut pps = vec![Vec::new(); stands.len()];
    // The first round warms up.
    for round in 0..=extent.rounds {
        for (stand, pps) in stands.iter().zip(&mut pps) {
            Plan::check()?;
            let measured = stand.packets_per_second(extent.duration)?;
            pps.extend((round > 0).then_some(measured));
        }
    }
    let null = pps[Handler::Null as usize].clone();
    let rows = Handler::ALL.into_iter().zip(pps);
    Ok(rows.map(|(handler, pps)| Row::new(handler, pps, &null)).collect())
}
