//! Loading of the BPF object.

use std::{collections::HashMap, io, path::Path};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Map, MapError},
    programs::{SchedClassifier, Xdp},
};
use aya_obj::Object;
use lb_model::Limits;

use super::{
    active::possible_cpus,
    client_hops,
    constants::Constants,
    flows::{ACCOUNTS, BACKENDS, CLIENT_HOPS, FLOWS, FlowTable, TablePlan, flow_bytes, megabytes},
    guard,
    layouts::OnOtherMaps,
    migration,
    object::map,
    origins,
    pins::{Pins, unpin},
    shapes::Shape,
    sizes::sizes,
};

/// Name of the XDP program in its object.
pub const PROGRAM: &str = "xdplb";

pub(super) const OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lb.bpf.o"));

/// Map of the program's messages, by aya-log.
pub(super) const MESSAGES: &str = "AYA_LOGS";

const BTF: &str = "/sys/kernel/btf/vmlinux";

/// The loaded programs and their maps.
pub struct Loaded {
    pub ebpf: Ebpf,
    pub table: FlowTable,
    pub constants: Constants,
    /// Names of the maps that outlive the daemon.
    pub shared: Vec<String>,
}

/// Loads the programs with maps of these sizes.
pub fn load(
    pins: &Pins,
    limits: &Limits,
    has_groups: bool,
    on_other_maps: OnOtherMaps,
) -> Result<Loaded> {
    anyhow::ensure!(
        Path::new(BTF).exists(),
        "this kernel has no BTF ({BTF} is missing): it must be built with CONFIG_DEBUG_INFO_BTF=y"
    );
    let plan = TablePlan::new(limits.flows)?.accounting(limits.accounting);
    let others = [(FLOWS, plan.max_entries()), (ACCOUNTS, plan.accounts()), origins::size(limits)];
    let others = guard::sizes(limits).into_iter().chain(others);
    let sizes: HashMap<_, _> = sizes(limits, possible_cpus()?).chain(others).collect();
    let shapes = shapes(&sizes)?;
    migration::set_aside(pins, &shapes, on_other_maps)?;
    let plan = plan.with_seed_of(&pins.former(FLOWS))?.with_seed_of(&pins.map(FLOWS))?;
    let constants = Constants::new(limits, has_groups, plan)?;
    let mut loader = EbpfLoader::new();
    constants.prepare(&mut loader);
    for (name, entries) in &sizes {
        loader.map_max_entries(name, *entries);
    }
    for (name, _) in &shapes {
        loader.map_pin_path(name, pins.map(name));
    }
    let mut ebpf = loader.load(OBJECT).map_err(|error| explained(error, limits))?;
    for (name, what) in [
        (PROGRAM, "the XDP program"),
        (client_hops::PROGRAM, "the program for hops"),
        (migration::PROGRAM, "the program that imports connections"),
    ] {
        let program = ebpf.program_mut(name);
        let program: &mut Xdp =
            program.with_context(|| format!("the object lacks {what}"))?.try_into()?;
        program.load().with_context(|| format!("the kernel rejects {what}"))?;
    }
    let program: &mut SchedClassifier =
        ebpf.program_mut(guard::PROGRAM).context("the object has no host guard")?.try_into()?;
    program.load().context("the kernel rejects the host guard")?;
    let table = table(&plan, &mut ebpf)?;
    for name in guard::MAPS {
        pin_anew(map(&ebpf, name)?, &pins.own_map(name))?;
    }
    let shared = shapes.into_iter().map(|(name, _)| name).collect();
    Ok(Loaded { ebpf, table, constants, shared })
}

/// Pins a map in place of an earlier program's.
fn pin_anew(map: &Map, pin: &Path) -> Result<()> {
    if pin.exists() {
        unpin(pin)?;
    }
    map.pin(pin).with_context(|| format!("cannot pin {}", pin.display()))
}

/// Labels and maps the flow table of an object that was loaded as planned.
pub fn table(plan: &TablePlan, ebpf: &mut Ebpf) -> Result<FlowTable> {
    plan.label(ebpf.map_mut(FLOWS).context("the object has no flow table")?)?;
    let table = plan.open(map(ebpf, FLOWS)?, map(ebpf, BACKENDS)?, map(ebpf, CLIENT_HOPS)?)?;
    table.with_accounts(map(ebpf, ACCOUNTS)?)
}

/// Adds the fix that an operator can apply.
fn explained(error: EbpfError, limits: &Limits) -> anyhow::Error {
    let is_flows = matches!(
        &error,
        EbpfError::MapError(MapError::CreateError { name, io_error })
            if [FLOWS, ACCOUNTS].contains(&name.as_str())
                && io_error.kind() == io::ErrorKind::OutOfMemory
    );
    if !is_flows {
        return anyhow::Error::from(error).context("cannot load the eBPF object");
    }
    let megabytes = megabytes(flow_bytes(limits));
    let (what, fix) = if limits.accounting {
        ("the flow table and its accounts", ", or unset `limits.accounting`")
    } else {
        ("the flow table", "")
    };
    let flows = limits.flows;
    anyhow::anyhow!(
        "the kernel cannot allocate {megabytes} MB for {what}: lower `limits.flows` = {flows}{fix}"
    )
}

/// Returns the maps that outlive the daemon, and their required shapes.
fn shapes(sizes: &HashMap<&str, u32>) -> Result<Vec<(String, Shape)>> {
    let object = Object::parse(OBJECT).context("the embedded eBPF object is damaged")?;
    let mut shapes: Vec<_> = object
        .maps
        .iter()
        .filter(|(name, _)| !is_of_the_build(name))
        .map(|(name, map)| {
            let size = sizes.get(name.as_str()).copied();
            let shape = Shape {
                map_type: map.map_type(),
                key_size: map.key_size(),
                value_size: map.value_size(),
                max_entries: size.unwrap_or_else(|| map.max_entries()),
            };
            (name.clone(), shape)
        })
        .collect();
    shapes.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(shapes)
}

/// Returns true if a map belongs to one loaded object: its constants, its messages and the maps of
/// its host guard.
fn is_of_the_build(map: &str) -> bool {
    map.starts_with('.') || map == MESSAGES || guard::MAPS.contains(&map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_allocation_of_the_flow_table_names_its_setting() {
        let refusal = |map: &str, code, accounting| {
            let limits = Limits { flows: 16_000_000, accounting, ..Limits::default() };
            let io_error = io::Error::from_raw_os_error(code);
            let error = MapError::CreateError { name: map.to_owned(), io_error };
            format!("{:#}", explained(error.into(), &limits))
        };
        let expected = "the kernel cannot allocate 1536 MB for the flow table: lower \
             `limits.flows` = 16000000";
        assert_eq!(refusal(FLOWS, libc::ENOMEM, false), expected);
        let expected = "the kernel cannot allocate 2304 MB for the flow table and its accounts: lower \
             `limits.flows` = 16000000, or unset `limits.accounting`";
        assert_eq!(refusal(ACCOUNTS, libc::ENOMEM, true), expected);
        for (map, code) in [(FLOWS, libc::EPERM), ("RINGS", libc::ENOMEM)] {
            assert!(
                refusal(map, code, false).starts_with("cannot load the eBPF object"),
                "{map} {code}"
            );
        }
    }
}
