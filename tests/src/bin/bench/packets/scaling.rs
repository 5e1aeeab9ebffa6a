//! Growth of a packet's cost with the configuration.

use anyhow::Result;

use super::{Cost, Extent, balancer::Topology, path, pin_to_one_cpu, rounds::Rounds};

/// A configured quantity, its size, and the costs of packets.
pub struct Scaling {
    pub what: &'static str,
    pub size: u64,
    pub costs: Vec<Cost>,
}

const BASE: Topology = Topology { services: 0, backends: 2, flows: 14 };

/// Measures a few paths with more and more services, and with more and more backends. Results
/// before a failure count.
pub fn measure(extent: &Extent, scalings: &mut Vec<Scaling>) -> Result<()> {
    pin_to_one_cpu()?;
    let services = [0, 6, 11].map(|services| ("services", services, Topology { services, ..BASE }));
    let backends = [2, 7, 13].map(|backends| ("backends", backends, Topology { backends, ..BASE }));
    for (what, doublings, topology) in services.into_iter().chain(backends) {
        let size = 1 << doublings;
        eprintln!("Measuring packets, {size} {what}");
        let costs = Rounds::prepare(topology)?.measure(extent, path::SCALING)?;
        scalings.push(Scaling { what, size, costs });
    }
    Ok(())
}
