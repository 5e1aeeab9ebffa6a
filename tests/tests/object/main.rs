//! What the shipped object says of itself, and what the verifier says of it.

mod stack;

use std::collections::BTreeMap;

use aya::{Ebpf, programs::Xdp};
use aya_obj::{Object, ProgramSection};
use lb_common::{
    backend::Backend,
    guard::Guarded,
    ring::Slots,
    service::ServiceKey,
    service_table::{IndexBucket, Record},
    snat::{Source, Stretch},
    stats::{Count, Traffic},
    table::PlainBucket,
};
use lb_tests::object::OBJECT;

/// Under a third of the million that the kernel allows; the program needs three quarters of that here.
const VERIFIER_BUDGET: u32 = 300_000;

#[test]
fn maps_have_the_shapes_of_the_shared_types() {
    let object = Object::parse(OBJECT).expect("parses");
    let shapes: BTreeMap<&str, (usize, usize)> = object
        .maps
        .iter()
        .map(|(name, map)| (name.as_str(), (map.key_size() as usize, map.value_size() as usize)))
        .collect();
    let expected = [
        ("ACTIVE", 4, 8),
        ("VIP_FILTER", 4, 8),
        ("BACKENDS", 4, size_of::<Backend>()),
        ("FLOWS", 4, size_of::<PlainBucket>()),
        ("GUARD_ADDRESSES", 16, size_of::<Guarded>()),
        ("GUARD_BACKENDS", size_of::<ServiceKey>(), 4),
        ("INCIDENTS_SEEN", 4, 8),
        ("MIGRATING", 4, 8),
        ("PAST_INCIDENTS", 4, 8),
        ("PAST_VERDICTS", 4, size_of::<Count>()),
        ("RINGS", 4, size_of::<Slots>()),
        ("RING_TURNS", 4, 8),
        ("RING_TURNS_EACH", 4, 8),
        ("SERVICES", 4, size_of::<Record>()),
        ("SERVICE_INDEX", 4, size_of::<IndexBucket>()),
        ("SNAT_SOURCES", 4, size_of::<Source>()),
        ("SNAT_STRETCHES", 4, size_of::<Stretch>()),
        ("SNAT_TURNS", 4, 8),
        ("TRAFFIC", 4, size_of::<Traffic>()),
        ("VERDICTS", 4, size_of::<Count>()),
    ];
    for (name, key, value) in expected {
        assert_eq!(shapes.get(name), Some(&(key, value)), "{name}");
    }
    assert!(shapes.keys().all(|name| name.len() <= 15), "the kernel keeps 15 characters");
}

#[test]
fn the_program_takes_jumbo_frames_and_has_a_licence() {
    let object = Object::parse(OBJECT).expect("parses");
    assert_eq!(object.license.to_bytes(), b"Dual MIT/GPL");
    let program = object.programs.get("xdplb").expect("named");
    assert!(matches!(program.section, ProgramSection::Xdp { frags: true, .. }));
}

#[test]
#[ignore = "needs root"]
fn the_verifier_is_not_strained() {
    let mut ebpf = Ebpf::load(OBJECT).expect("loads");
    let program: &mut Xdp = ebpf.program_mut("xdplb").expect("named").try_into().expect("XDP");
    program.load().expect("verifies");
    let count = program.info().expect("known").verified_instruction_count().expect("counted");
    println!("{count} instructions verified");
    assert!(count < VERIFIER_BUDGET, "{count}");
}
