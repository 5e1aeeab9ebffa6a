//! The shipped program with its services and known connections.

use std::{collections::HashMap, process::Command};

use anyhow::{Context as _, Result, ensure};
use lb_common::{
    flow::FlowKey,
    reason::{Reason, Verdict},
    template::{Spread, Template},
    wire::Headers,
};
use lb_tests::object::{Action, INGRESS, Object};
use nix::net::if_::if_nametoindex;

use super::{
    frames,
    harness::Harness,
    memory::{self, Memory},
    topology::Topology,
};

/// One in this many openings may be refused: there is little room for half-open connections.
const REFUSED: u64 = 256;

/// One in this many new connections may have been evicted by another: in a small table, each bucket
/// has room for few half-open ones.
const EVICTED: usize = 16;

pub(super) struct Balancer {
    object: Object,
    topology: Topology,
    harness: Harness,
    /// An interface that no frame arrives by.
    egress: u32,
}

impl Balancer {
    /// Creates a balancer with all connections open.
    pub(super) fn new(topology: Topology) -> Result<Self> {
        Self::of(Object::load(topology.room()), topology)
    }

    /// As [`Self::new`], but counts packets and bytes of each connection.
    pub(super) fn accounting(topology: Topology) -> Result<Self> {
        Self::of(Object::accounting(topology.room()), topology)
    }

    fn of(mut object: Object, topology: Topology) -> Result<Self> {
        topology.configure(&mut object);
        let egress = second_interface()?;
        object.open_egress(egress);
        let harness = Harness::of(object.program().fd()?)?;
        let mut balancer = Self { object, topology, harness, egress };
        balancer.open_connections()?;
        Ok(balancer)
    }

    /// Opens the connections by handshakes, few at a time, as half-open connections evict each
    /// other.
    fn open_connections(&mut self) -> Result<()> {
        let Topology { flows, .. } = self.topology;
        let group = self.topology.room() / 256;
        let replies = self.topology.replies();
        for first in (0..1 << flows).step_by(group as usize) {
            let some = group.min((1 << flows) - first);
            for (frame, reason) in frames::HANDSHAKE {
                let template = if reason == Reason::Replied {
                    Template::new(frame(), replies, flows, first.into()).in_order()
                } else {
                    Template::new(frame(), Spread::CLIENTS, flows, first.into())
                };
                self.send(&template, some, reason)?;
            }
        }
        // Checks that no connection has evicted another.
        let all = Template::new(frames::known(), Spread::CLIENTS, flows, 0);
        self.send(&all, 1 << flows, Reason::Forwarded).map(drop)
    }

    /// Returns another harness for the program, for another CPU.
    pub(super) fn harness(&self) -> Result<Harness> {
        Harness::of(self.object.program().fd()?)
    }

    /// Returns the memory of the flow table.
    pub(super) fn memory(&self) -> Result<Memory> {
        let bytes = memory::of_map(self.object.program(), "FLOWS")?;
        Ok(Memory::new("xdplb", bytes, self.topology.room()))
    }

    /// Sends frames; returns the cost of one. The program must count each with `reason`, except for
    /// openings that find no room.
    pub(super) fn send(&mut self, template: &Template, frames: u32, reason: Reason) -> Result<f64> {
        self.send_by(template, frames, (reason, action(reason)))
    }

    /// Sends packets of open connections to backends behind another interface.
    pub(super) fn redirect(&mut self, template: &Template, frames: u32) -> Result<f64> {
        self.topology.place_backends(&mut self.object, self.egress);
        let cost = self.send_by(template, frames, (Reason::Forwarded, Action::Redirect));
        self.topology.place_backends(&mut self.object, INGRESS);
        cost
    }

    fn send_by(
        &mut self,
        template: &Template,
        frames: u32,
        (reason, action): (Reason, Action),
    ) -> Result<f64> {
        let before = self.reasons();
        let cost = self.harness.run(template, frames, action)?;
        self.check(&before, frames, (reason, &[Reason::TableFull]))?;
        Ok(cost)
    }

    /// Returns the number of frames by the name of their reason.
    pub(super) fn reasons(&self) -> HashMap<&'static str, u64> {
        self.object.reasons()
    }

    /// Returns the number of openings that were refused. Fails unless the program has counted this many
    /// frames more: with `reason`, but for a few refusals of these kinds.
    pub(super) fn check(
        &self,
        before: &HashMap<&'static str, u64>,
        frames: u32,
        (reason, refusals): (Reason, &[Reason]),
    ) -> Result<u64> {
        let mut counts = self.reasons();
        for (name, count) in &mut counts {
            *count -= before[name];
        }
        counts.retain(|_, count| *count > 0);
        let count = |reason: &Reason| counts.get(reason.as_str()).copied().unwrap_or(0);
        let refused = refusals.iter().map(count).sum::<u64>();
        ensure!(
            count(&reason) + refused == u64::from(frames) && refused * REFUSED <= u64::from(frames),
            "{frames} packets should be {}, and are {counts:?}",
            reason.as_str()
        );
        Ok(refused)
    }

    /// Reads the whole table, so that as much of it as they hold is in this CPU's caches. Fails if it
    /// holds other flows than those of the open connections.
    pub(super) fn fetch(&self) -> Result<()> {
        let (flows, expected) = (self.object.flow_count(), 2 << self.topology.flows);
        ensure!(flows == expected, "{flows} flows should be {expected}");
        Ok(())
    }

    /// Removes the connections that these frames have opened. Fails unless they have.
    pub(super) fn forget(&mut self, mut template: Template, frames: u32) -> Result<()> {
        let keys = (0..frames).map(|_| {
            let frame = template.next_frame();
            let headers: &Headers = bytemuck::from_bytes(&frame[..size_of::<Headers>()]);
            FlowKey::of(headers)
        });
        let opened: Vec<_> = keys.filter(|key| self.object.flow(key).is_some()).collect();
        for key in &opened {
            self.object.remove_connection(key);
        }
        let missing = frames as usize - opened.len();
        ensure!(
            missing * EVICTED <= frames as usize,
            "{frames} packets opened {} connections only",
            opened.len()
        );
        Ok(())
    }
}

/// Returns the XDP action on packets that end for this reason.
pub(super) fn action(reason: Reason) -> Action {
    match reason.verdict() {
        Verdict::Pass => Action::Pass,
        Verdict::Drop => Action::Drop,
        Verdict::Tx => Action::Tx,
    }
}

/// Makes an interface in this network namespace, which has a loopback only.
fn second_interface() -> Result<u32> {
    const NAME: &str = "out0";
    let added = Command::new("ip").args(["link", "add", NAME, "type", "veth"]).status()?;
    ensure!(added.success(), "ip cannot make a veth: {added}");
    if_nametoindex(NAME).context("the veth has no index")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balancer() -> Balancer {
        Balancer::new(Topology { services: 0, backends: 2, flows: 4 }).unwrap()
    }

    fn strangers() -> Template {
        Template::new(frames::new(), Spread::CLIENTS, 32, 0)
    }

    #[test]
    #[ignore = "needs root"]
    fn packets_that_open_no_connection_are_noticed() {
        let mut balancer = balancer();
        balancer.fetch().unwrap();
        balancer.send(&strangers(), 64, Reason::Forwarded).unwrap();
        let error = balancer.fetch().unwrap_err().to_string();
        assert_eq!(error, "160 flows should be 32");
        balancer.forget(strangers(), 64).unwrap();
        let error = balancer.forget(strangers(), 64).unwrap_err().to_string();
        assert_eq!(error, "64 packets opened 0 connections only");
    }

    #[test]
    #[ignore = "needs root"]
    fn packets_that_end_otherwise_are_noticed() {
        let mut balancer = balancer();
        let known = Template::new(frames::known(), Spread::CLIENTS, 4, 0);
        balancer.redirect(&known, 64).unwrap();
        let error = balancer.send(&known, 64, Reason::Replied).unwrap_err().to_string();
        assert!(error.contains("should be replied, and are {\"forwarded\": 64}"), "{error}");
        let wrong = (Reason::Forwarded, Action::Redirect);
        let error = balancer.send_by(&known, 64, wrong).unwrap_err().to_string();
        assert_eq!(error, "XDP's action was 3, not Redirect");
    }
}
