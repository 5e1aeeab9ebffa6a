//! The flow table.
//!
//! An entry of 32 bytes holds one direction of a connection: two are in a cache line. What all connections
//! of a backend have in common is not in it. [`WAYS`] entries make a bucket; a keyed hash selects a flow's
//! bucket, and the entry in it that is its home. Most flows are at home. If that is taken, a flow is placed
//! beside it in the same cache line, elsewhere in its bucket, or in another one of its [`CHOICES`] if the
//! bucket is full; the home's tag says how far its flows [reach](Tag::reach), so that a lookup of an unknown
//! flow usually ends after one cache line.
//!
//! Nothing is allocated or locked: an entry belongs to the CPU that swaps its [`Tag`], and a reader
//! trusts what it has read if the tag is still the same flow's afterwards.
//!
//! The algorithm does not know where the table is: the kernel's program has it in a map, the control
//! plane maps the same memory, tests have it on the heap or in loom's atomics.

mod choice;
mod claim;
mod crowded;
mod direct;
mod find;
mod hash;
mod import;
mod index;
mod label;
mod layout;
mod open;
mod pair;
mod remove;
mod review;
#[cfg(target_has_atomic = "64")]
mod shared;
mod steps;
mod storage;
mod survey;
mod tag;
mod track;

#[cfg(target_has_atomic = "64")]
pub use self::shared::{
    SharedBackend, SharedBucket, SharedEntry, SharedFamily, SharedTable, Snapshot,
};
pub use self::{
    choice::{Chosen, SILENCE, Victims},
    claim::{Refused, claim_elsewhere, extend, has_duplicate, survey},
    crowded::{choose, claim_crowded, claim_unneeded, least_worth, worth},
    direct::Direct,
    find::{
        Busy, Found, Hit, Known, at, find, known, peek, reach_of, search, search_further, seek,
    },
    hash::{Hash, Seed},
    import::{IMPORTS_EACH_RUN, Import, Imported, import},
    index::Index,
    label::Label,
    layout::{
        CHOICES, HALF_OPEN_WAYS, PAIR_AT, PlainBucket, WAYS, buckets_for, connections_of,
        entry_bytes, extra_at, last_seen_at, table_bytes,
    },
    open::{Opening, Unopened, open, open_one_way},
    pair::{partner, set_flags, update_client_hop},
    remove::{mark_expiring, mark_told, remove, replace_closed, revive},
    review::{Review, Reviewed},
    steps::Table,
    storage::{Bucket, Entry, Key, Storage},
    survey::Survey,
    tag::{Owner, Tag},
    track::{refuse, track, track_datagram, track_one_way},
};
