//! Growth of the rate of packets by a second CPU with the same table.

use std::ops::Range;

use anyhow::Result;
use lb_common::{
    reason::Reason,
    template::{Spread, Template},
};

use super::{
    Extent, at_once,
    balancer::Balancer,
    cpus,
    floors::{Floor, Floors},
    harness::Harness,
    path::{self, Path},
    pin,
    topology::Topology,
};
use crate::{plan::Plan, statistics::Sample};

/// Costs of a path on one CPU, and on two.
pub struct SpeedUp {
    pub path: &'static Path,
    /// Number of connections in the flow table.
    pub flows: u64,
    /// Net cost of a packet, in nanoseconds, on either CPU alone, and on each of both at once.
    pub alone: Sample,
    pub together: Sample,
    /// Rate of both to that of one.
    pub factor: Sample,
    /// Frames of both at once, and those that were dropped, as both CPUs wanted the same entry.
    pub sent: u64,
    pub refused: u64,
    /// Number of rounds in which other work kept the CPUs from running at once.
    pub disturbed: usize,
}

/// Numbers of open connections, as powers of two, and what is measured with them. A small table has
/// no room for so many new connections that a run is long enough.
const MEASURED: [(u32, &[&Path]); 2] =
    [(10, &[&path::KNOWN]), (17, &[&path::KNOWN, &path::NEW, &path::NEW_PER_CPU])];

/// Frames of a CPU in a turn: enough that both run at the same time, and few enough that other work
/// seldom interrupts them.
const FRAMES: u32 = 1 << 15;

/// Rounds without disturbance that are enough to leave out the others.
const ENOUGH: usize = 3;

/// Reasons for which a connection may not be opened: two CPUs may want the same entry.
const REFUSALS: &[Reason] = &[Reason::TableFull, Reason::Contended];

/// Rounds for each one that is to count, if others are disturbed.
const PATIENCE: u32 = 4;

/// Measures known and new connections. Results before a failure are kept.
pub fn measure(extent: &Extent, speed_ups: &mut Vec<SpeedUp>) -> Result<()> {
    let [.., first, second] = cpus()?[..] else {
        eprintln!("No speed-up by a second CPU: there is none");
        return Ok(());
    };
    pin(first)?;
    for (flows, paths) in MEASURED {
        eprintln!("Measuring packets on two CPUs, {} connections", 1_u64 << flows);
        let topology = Topology { services: 0, backends: 2, flows };
        let mut pair = Pair::prepare(topology, [first, second])?;
        for path in paths {
            speed_ups.push(pair.measure(path, extent)?);
        }
    }
    Ok(())
}

/// Two CPUs that run the same program with the same table.
struct Pair {
    topology: Topology,
    balancer: Balancer,
    cpus: [usize; 2],
    /// One for each CPU.
    balancing: [Harness; 2],
    nothing: [Harness; 2],
    /// Number of frames before the next turn's: no turn repeats one of the turn before.
    sent: u64,
}

/// Costs of each CPU in a round.
struct Round {
    alone: [f64; 2],
    together: [f64; 2],
    /// Frames of both at once, and those that were refused.
    sent: u64,
    refused: u64,
    is_disturbed: bool,
}

impl Round {
    /// Returns the rate of both CPUs to that of one.
    fn factor(&self) -> f64 {
        let rate = |costs: [f64; 2]| costs.map(f64::recip).iter().sum::<f64>();
        2.0 * rate(self.together) / rate(self.alone)
    }
}

impl Pair {
    fn prepare(topology: Topology, cpus: [usize; 2]) -> Result<Self> {
        let balancer = Balancer::new(topology)?;
        let balancing = [balancer.harness()?, balancer.harness()?];
        let nothing = [Floors::harness(Floor::Nothing)?, Floors::harness(Floor::Nothing)?];
        Ok(Self { topology, balancer, cpus, balancing, nothing, sent: 0 })
    }

    fn measure(&mut self, path: &'static Path, extent: &Extent) -> Result<SpeedUp> {
        // So few new connections that they hardly evict each other.
        let most = if path.opens() { self.topology.room() / 32 } else { FRAMES };
        let frames = most.min(extent.frames);
        let (mut rounds, mut disturbed) = (Vec::new(), Vec::new());
        // Warms up.
        self.round(path, frames)?;
        for _ in 0..extent.rounds * PATIENCE {
            Plan::check()?;
            let round = self.round(path, frames)?;
            let kept = if round.is_disturbed { &mut disturbed } else { &mut rounds };
            kept.push(round);
            if rounds.len() >= extent.rounds as usize {
                break;
            }
        }
        let disturbances = disturbed.len();
        if rounds.len() < ENOUGH {
            rounds.append(&mut disturbed);
        }
        let costs = |of: fn(&Round) -> [f64; 2]| Sample::new(rounds.iter().flat_map(of).collect());
        Ok(SpeedUp {
            path,
            flows: 1 << self.topology.flows,
            alone: costs(|round| round.alone),
            together: costs(|round| round.together),
            factor: Sample::new(rounds.iter().map(Round::factor).collect()),
            sent: rounds.iter().map(|round| round.sent).sum(),
            refused: rounds.iter().map(|round| round.refused).sum(),
            disturbed: disturbances,
        })
    }

    /// Measures one CPU, the other, and both at once.
    fn round(&mut self, path: &Path, frames: u32) -> Result<Round> {
        let [first, second] = [0..1, 1..2].map(|on| self.turn(path, frames, on));
        let (first, second, both) = (first?, second?, self.turn(path, frames, 0..2)?);
        let is_disturbed = [&first, &second, &both].iter().any(|turn| turn.is_disturbed);
        Ok(Round {
            alone: [first.net[0], second.net[0]],
            together: [both.net[0], both.net[1]],
            sent: 2 * u64::from(frames),
            refused: both.refused,
            is_disturbed,
        })
    }

    /// Measures some of the CPUs at once.
    fn turn(&mut self, path: &Path, frames: u32, on: Range<usize>) -> Result<Turn> {
        let templates: Vec<_> = on.clone().map(|cpu| self.template(path, frames, cpu)).collect();
        let cpus = &self.cpus[on.clone()];
        let floors = at_once::run(&mut self.nothing[on.clone()], cpus, &templates, frames)?;
        let before = self.balancer.reasons();
        let runs = at_once::run(&mut self.balancing[on], cpus, &templates, frames)?;
        let sent = frames * u32::try_from(runs.len())?;
        let refused = self.balancer.check(&before, sent, (Reason::Forwarded, REFUSALS))?;
        if path.opens() {
            for template in templates {
                self.balancer.forget(template, frames)?;
            }
        }
        self.sent += 2 * u64::from(frames);
        let net = runs.iter().zip(&floors).map(|(run, floor)| run.cost - floor.cost).collect();
        let is_disturbed = at_once::is_disturbed(&runs) || at_once::is_disturbed(&floors);
        Ok(Turn { net, refused, is_disturbed })
    }

    /// Returns the frames for one of the CPUs. Each has half of the connections, as a network card
    /// distributes them, or clients of its own.
    fn template(&self, path: &Path, frames: u32, cpu: usize) -> Template {
        let frame = (path.frame)();
        if path.opens() {
            let first = self.sent + cpu as u64 * u64::from(frames);
            return Template::new(frame, Spread::CLIENTS, u32::BITS, first);
        }
        let half = self.topology.flows - 1;
        let template = Template::new(frame, Spread::CLIENTS, half, self.sent);
        template.starting_at((cpu as u64) << half)
    }
}

/// Net costs of each CPU that ran.
struct Turn {
    net: Vec<f64>,
    /// Connections that were not opened.
    refused: u64,
    is_disturbed: bool,
}
