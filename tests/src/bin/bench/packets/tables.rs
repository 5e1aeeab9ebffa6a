//! The flow tables alone, one for each address family, filled with the same connections.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{Ebpf, maps::Map};
use bytemuck::from_bytes;
use lb_common::{
    backend::Backend,
    client_hops::NO_SLOT,
    flow::{Family, FlowKey, Tuple, V4, V6, flags_seen},
    mapped,
    table::{
        Opening, Seed, SharedBackend, SharedBucket, SharedFamily, SharedTable, buckets_for, open,
    },
    template::{Spread, Template},
    wire::Headers,
};
use lb_host::sys::mapping::{Mapping, Shared};

use super::{
    frames::{self, BACKEND, SOURCE, VIP},
    topology::Topology,
};

/// Returns the number of buckets of each table.
pub(super) fn buckets(topology: Topology) -> u32 {
    buckets_for(topology.room())
}

/// Id of the backend of all connections.
const ID: u32 = 1;

const ESTABLISHED: u16 = flags_seen::SHAKEN | flags_seen::PROVEN;

/// Opens the connections of all clients in both tables. The programs have the same seed.
pub(super) fn fill(ebpf: &Ebpf, topology: Topology) -> Result<()> {
    let backends: Mapping<SharedBackend> = map(ebpf, "TABLE_BACKENDS", 2)?;
    let backend = Backend {
        address: mapped(BACKEND.ip().octets()),
        port: BACKEND.port().to_be_bytes(),
        vip: mapped(VIP.ip().octets()),
        vip_port: VIP.port().to_be_bytes(),
        ..Backend::default()
    };
    backends.values()[ID as usize].set(&backend);
    fill_one::<V4>(ebpf, "TABLE_V4", topology, backends.values(), |address| address)?;
    fill_one::<V6>(ebpf, "TABLE_V6", topology, backends.values(), mapped)
}

fn fill_one<F: SharedFamily>(
    ebpf: &Ebpf,
    name: &str,
    topology: Topology,
    backends: &[SharedBackend],
    in_family: impl Fn([u8; 4]) -> F::Address,
) -> Result<()>
where
    SharedBucket<F>: Shared,
{
    let memory: Mapping<SharedBucket<F>> = map(ebpf, name, buckets(topology))?;
    let table = SharedTable { buckets: memory.values(), backends, seed: Seed::of_number(0) };
    let mut template = Template::new(frames::known(), Spread::CLIENTS, topology.flows, 0);
    for number in 0..1 << topology.flows {
        let frame = template.next_frame();
        let headers: &Headers = from_bytes(&frame[..size_of::<Headers>()]);
        let inside = &translated::<F>(&FlowKey::of(headers), &in_family);
        let outside = translated(&source_of(number), &in_family);
        let opening =
            Opening { inside, hop: NO_SLOT, backend: ID, seen: ESTABLISHED, number: 0, now: 0 };
        open(table, &opening, &outside)
            .map_err(|refused| anyhow!("connection {number} of {name}: {refused:?}"))?;
    }
    Ok(())
}

/// Returns the tuple of a connection's packets on the backend's side.
fn source_of(number: u32) -> FlowKey {
    let [low, high, sources, _] = number.to_le_bytes();
    let [first, second, ..] = SOURCE.ip().octets();
    let source = [first, second, sources, 1];
    FlowKey::tcp(source, [high, low], BACKEND.ip().octets(), BACKEND.port().to_be_bytes())
}

fn translated<F: Family>(key: &FlowKey, in_family: impl Fn([u8; 4]) -> F::Address) -> Tuple<F> {
    let (src, dst) = (in_family(key.src()), in_family(key.dst()));
    Tuple::new(key.protocol(), (src, key.src_port()), (dst, key.dst_port()))
}

fn map<T: Shared>(ebpf: &Ebpf, name: &str, count: u32) -> Result<Mapping<T>> {
    let Some(Map::Array(array)) = ebpf.map(name) else { bail!("the object has no array {name}") };
    Mapping::new(array.fd().as_fd(), count).with_context(|| format!("cannot map {name}"))
}
