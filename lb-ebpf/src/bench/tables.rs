//! The flow table alone, of each address family: a packet's flow is looked up, and the packet rewritten.
//! The packets are IPv4 in both cases, so that nothing but the tables differs; in the IPv6 table their
//! addresses are IPv4-mapped.

use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, xdp_action},
    btf_maps::Array,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use lb_common::{
    backend::{Backend, Hop},
    flow::{Ends as _, Family, FlowKey, Rewrite, State, Tuple, V4, V6},
    mapped,
    table::{Direct, Seed, Storage, WAYS, entry_bytes, find},
    unmapped,
};

use crate::{astray, frame, raw::Bucket};

const fn words<F: Family>() -> usize {
    WAYS as usize * entry_bytes::<F>() / size_of::<u64>()
}

/// Buckets. The loader sets their number, and fills them.
#[btf_map]
static TABLE_V4: Array<[u64; words::<V4>()], 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// As `TABLE_V4`.
#[btf_map]
static TABLE_V6: Array<[u64; words::<V6>()], 1, { BPF_F_MMAPABLE as usize }> = Array::new();

#[btf_map]
static TABLE_BACKENDS: Array<Backend, 2, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Number of buckets of each table. Set by the loader.
#[unsafe(no_mangle)]
static TABLE_BUCKETS: Global<u32> = Global::new(1);

/// The seed of both, which the loader knows.
const SEED: Seed = Seed::of_number(0);

#[derive(Clone, Copy)]
struct TableV4;

#[derive(Clone, Copy)]
struct TableV6;

macro_rules! storage {
    ($table:ident, $family:ident, $map:ident) => {
        impl Direct for $table {}

        impl Storage for $table {
            type Family = $family;
            type Bucket = Bucket<$family>;
            type Backend = &'static Backend;

            #[inline(always)]
            fn seed(self) -> Seed {
                SEED
            }

            #[inline(always)]
            fn buckets(self) -> u32 {
                TABLE_BUCKETS.load()
            }

            #[inline(always)]
            fn bucket(self, index: u32) -> Option<Bucket<$family>> {
                Bucket::new($map.get_ptr_mut(index)?)
            }

            #[inline(always)]
            fn backend(self, id: u32) -> Option<&'static Backend> {
                TABLE_BACKENDS.get(id)
            }

            fn evicted(self, _state: State) {}

            fn add_active(self, _backend: u32, _change: i64) {}
        }
    };
}

storage!(TableV4, V4, TABLE_V4);
storage!(TableV6, V6, TABLE_V6);

/// Finds a packet's flow in the IPv4 table, rewrites it, and sends it back.
#[xdp(frags)]
fn table_v4(ctx: XdpContext) -> u32 {
    verdict(translate(&ctx, TableV4, |key| key, |to| to))
}

/// As `table_v4`, in the IPv6 table.
#[xdp(frags)]
fn table_v6(ctx: XdpContext) -> u32 {
    verdict(translate(&ctx, TableV6, in_ipv6, in_ipv4))
}

#[inline(always)]
fn verdict(sent: Option<()>) -> u32 {
    if sent.is_some() { xdp_action::XDP_TX } else { astray::abort() }
}

#[inline(always)]
fn in_ipv6(key: FlowKey) -> Tuple<V6> {
    let (src, dst) = (mapped(key.src()), mapped(key.dst()));
    Tuple::new(key.protocol(), (src, key.src_port()), (dst, key.dst_port()))
}

#[inline(always)]
fn in_ipv4(key: Tuple<V6>) -> FlowKey {
    let (src, dst) = (unmapped(key.src()), unmapped(key.dst()));
    Tuple::new(key.protocol(), (src, key.src_port()), (dst, key.dst_port()))
}

#[inline(always)]
fn translate<T>(
    ctx: &XdpContext,
    table: T,
    to_family: impl Fn(FlowKey) -> Tuple<T::Family>,
    to_packet: impl Fn(Tuple<T::Family>) -> FlowKey,
) -> Option<()>
where
    T: Direct<Backend = &'static Backend>,
{
    let headers = frame::headers(ctx)?;
    let key = FlowKey::of(headers);
    let known = find(table, &to_family(key)).ok().flatten()?;
    let ends = known.backend.endpoints();
    let to = to_packet(known.pair.target(key.protocol(), known.hit.direction(), &ends));
    if !known.hit.holds() {
        return None;
    }
    let back = Hop::new(headers.ethernet.src, headers.ethernet.dst, 0);
    headers.ethernet.set_macs(back.macs());
    Rewrite::new(&key, &to).apply(headers);
    Some(())
}
