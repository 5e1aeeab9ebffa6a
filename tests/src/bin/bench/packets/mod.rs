//! Nanoseconds a packet, by the paths through the program.

mod balancer;
mod harness;

use anyhow::{Result, ensure};
use lb_common::{
    reason::Reason,
    template::{FRAME_LENGTH, Template},
};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use self::{balancer::Balancer, harness::Harness};
use crate::{Plan, statistics::Sample};

/// A kind of packet and what it costs.
pub struct Cost {
    pub path: &'static str,
    /// Connections in the flow table.
    pub flows: u64,
    pub total: Sample,
    /// Of a program that does nothing, in the same rounds.
    pub floor: Sample,
}

impl Cost {
    #[must_use]
    pub fn net_min(&self) -> f64 {
        self.total.min() - self.floor.min()
    }

    #[must_use]
    pub fn net_median(&self) -> f64 {
        self.total.median() - self.floor.median()
    }
}

/// A kind of packet.
struct Path {
    name: &'static str,
    frame: [u8; FRAME_LENGTH],
    /// It comes from 2^this clients in turn.
    doublings: u32,
    /// Frames a round.
    frames: u32,
    /// What the program must say of every one.
    reason: Reason,
    /// Every one opens a connection, which is to be gone after the round.
    opens: bool,
}

/// Frames a round of packets that change nothing.
const FRAMES: u32 = 100_000;

/// Connections that are opened in a round.
const NEW_FLOWS: u32 = 1_000;

/// Measures each path with a few sizes of the flow table.
pub fn measure(plan: &Plan) -> Result<Vec<Cost>> {
    pin_to_one_cpu()?;
    let sizes = plan.flow_doublings;
    let most = sizes.iter().max().copied().unwrap_or_default();
    let mut balancer = Balancer::new(1 << most, NEW_FLOWS)?;
    let mut costs = Vec::new();
    for doublings in sizes {
        balancer.open_connections(*doublings)?;
        let paths = paths(&balancer, *doublings)?;
        costs.extend(measure_paths(plan, &mut balancer, &paths, 1 << doublings)?);
    }
    Ok(costs)
}

fn paths(balancer: &Balancer, doublings: u32) -> Result<Vec<Path>> {
    let frames = FRAMES.max(1 << doublings);
    let path = |name, frame, reason| Path { name, frame, doublings, frames, reason, opens: false };
    let known = path("known", balancer::known(), Reason::Forwarded);
    let not_ours = path("not_ours", balancer::not_ours(), Reason::NotOurs);
    let new = Path {
        doublings: u32::BITS,
        frames: NEW_FLOWS,
        opens: true,
        ..path("new", balancer::new(), Reason::Forwarded)
    };
    // Replies to many clients come to many source ports, which a template cannot say.
    if doublings > 0 {
        return Ok(vec![known, new, not_ours]);
    }
    let reply = path("reply", balancer.reply()?, Reason::Replied);
    Ok(vec![known, new, reply, not_ours])
}

/// Measures the paths in turn, each beside the floor: what a run costs before its first frame
/// shows in short runs.
fn measure_paths(
    plan: &Plan,
    balancer: &mut Balancer,
    paths: &[Path],
    flows: u64,
) -> Result<Vec<Cost>> {
    let mut nothing = Harness::of_nothing()?;
    let mut pairs = vec![Vec::new(); paths.len()];
    for round in 0..=plan.packet_rounds {
        for (path, pairs) in paths.iter().zip(&mut pairs) {
            Plan::check()?;
            let template = Template::new(path.frame, path.doublings, 0);
            let floor = nothing.run(&template, path.frames)?;
            pairs.push((path.measure(balancer, round)?, floor));
        }
    }
    let costs = paths.iter().zip(pairs).map(|(path, mut pairs)| {
        // The first round warms up.
        pairs.remove(0);
        let (total, floor): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        Cost { path: path.name, flows, total: Sample::new(total), floor: Sample::new(floor) }
    });
    Ok(costs.collect())
}

impl Path {
    fn measure(&self, balancer: &mut Balancer, round: u32) -> Result<f64> {
        let sent = u64::from(round) * u64::from(self.frames);
        let template = Template::new(self.frame, self.doublings, sent);
        let before = balancer.counted(self.reason);
        let cost = balancer.harness.run(&template, self.frames)?;
        let counted = balancer.counted(self.reason) - before;
        ensure!(
            counted == u64::from(self.frames),
            "of {} packets of the path {} only {counted} were {}",
            self.frames,
            self.name,
            self.reason.as_str()
        );
        if self.opens {
            balancer.forget(template, self.frames);
        }
        Ok(cost)
    }
}

/// Keeps this thread on the last CPU that it may use: the first one serves most interrupts.
pub fn pin_to_one_cpu() -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let mut last = CpuSet::new();
    for cpu in (0..CpuSet::count()).rev() {
        if allowed.is_set(cpu)? {
            last.set(cpu)?;
            break;
        }
    }
    Ok(sched_setaffinity(this, &last)?)
}
