//! Growth of the cost of a packet with the size of the configuration.

use anyhow::Result;

use super::{Cost, Extent, path, pin_to_one_cpu, rounds::Rounds, topology::Topology};

/// The scaled object, its number, and the cost of packets.
pub struct Scaling {
    pub what: &'static str,
    pub size: u64,
    pub costs: Vec<Cost>,
}

const BASE: Topology = Topology { services: 0, backends: 2, flows: 14 };

/// Measures a few paths with growing numbers of services, and of backends. Results before a failure
/// are kept.
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
