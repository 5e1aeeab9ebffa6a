//! An entry for a new flow, in the usual cases: its home, or a free entry of its bucket.
//!
//! Whoever claims an entry for a key is its only owner. At home the compare-and-swap alone says so,
//! while the home's reach is 0: every other CPU with this key starts there, too. Whoever goes elsewhere
//! claims an entry, then extends the home's reach, so that no swap at home succeeds any more that does
//! not know of it, and then looks for duplicates. Of two CPUs that do so at once, at least one sees the
//! other's claim.

use super::{
    Bucket, Entry, Found, Hash, Hit, Index, Key, Owner, Storage, Survey, Table, WAYS, at,
    find::{covers, home, reach_of},
    storage::swap,
};

/// Reasons why a flow got no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is a flow of this key.
    Known,
    /// Another CPU is creating a flow of this key, or takes one entry after the other.
    Busy,
    /// Established connections that are not silent hold all entries.
    Full,
}

/// Home of a flow that is to be created: its memory is on its way to the CPU.
#[derive(Clone, Copy)]
pub(super) struct Home<T: Storage> {
    owner: Owner,
    hit: Found<T>,
}

/// Reads the home entry of a key.
#[inline(always)]
pub(super) fn approach<T: Table>(table: T, key: &Key<T>) -> Option<Home<T>> {
    let hash = table.seed().hash(key);
    Some(Home { owner: Owner::of(hash, key), hit: home(table, hash)? })
}

/// Extends the reach of a home that the caller has claimed for another flow to its bucket: nobody else
/// would.
#[inline(always)]
pub(super) fn leave_home<T: Table>(home: &Home<T>, claimed: Found<T>) -> Found<T> {
    if claimed.index != home.hit.index {
        return claimed;
    }
    let tag = claimed.tag.extended(2);
    claimed.entry.publish(tag);
    Hit { tag, ..claimed }
}

/// Claims an entry for a new flow of this key, by this step if its bucket is crowded.
#[inline(always)]
pub(super) fn claim<T: Table>(
    table: T,
    home: &Home<T>,
    key: &Key<T>,
    now: u32,
    claim_crowded: impl Fn(T, &Key<T>, u32) -> Index,
) -> Result<Found<T>, Refused> {
    let Hit { entry, index, tag } = home.hit;
    let claimed = tag.claimed(home.owner);
    if tag.is_unused() && swap(entry, tag, claimed) {
        return Ok(Hit { entry, index, tag: claimed });
    }
    let index = match table.claim_elsewhere(key) {
        Index::CROWDED => claim_crowded(table, key, now),
        index => index,
    };
    match index {
        Index::KNOWN => Err(Refused::Known),
        Index::BUSY => Err(Refused::Busy),
        index => at(table, index).ok_or(Refused::Full),
    }
}

/// Claims a free entry of a flow's bucket, if nothing is unusual there.
#[inline(always)]
pub fn claim_elsewhere<T: Table>(table: T, key: &Key<T>) -> Index {
    let hash = table.seed().hash(key);
    match claim_nearby(table, hash, key) {
        Index::MISSING => claim_in_bucket(table, hash, key),
        index => index,
    }
}

/// Claims the home, or the other entry of its cache line, if no flow of the home is further away: nothing
/// else needs to be read then, unless a half-open connection at home may mean that its bucket is flooded.
#[inline(always)]
fn claim_nearby<T: Table>(table: T, hash: Hash, key: &Key<T>) -> Index {
    let owner = Owner::of(hash, key);
    let Some(home) = home(table, hash) else { return Index::MISSING };
    let Some(next) = at(table, home.index.neighbour()) else { return Index::MISSING };
    if home.tag.reach() > 1 || home.tag.belongs_to(owner) || next.tag.belongs_to(owner) {
        return Index::MISSING;
    }
    let (former, other) = if home.tag.is_free() { (home, next) } else { (next, home) };
    if !former.tag.is_free() || home.tag.half_open_bit() != 0 {
        return Index::MISSING;
    }
    if !swap(former.entry, former.tag, former.tag.claimed(owner)) {
        return Index::MISSING;
    }
    let reach = reach_of(home.index, former.index, 0);
    let is_reached = reach == 0 || home.entry.tag().reaches(reach) || table.extend(hash, reach);
    // Whoever goes further away for this key extends the reach from now on, and then sees this claim.
    let is_alone = home.entry.tag().reach() <= 1 && !other.entry.tag().belongs_to(owner);
    if is_reached && is_alone {
        return former.index;
    }
    unless_duplicate(table, former, hash, key, reach)
}

#[inline(always)]
fn claim_in_bucket<T: Table>(table: T, hash: Hash, key: &Key<T>) -> Index {
    let index = hash.bucket(0, table.buckets());
    let survey = table.survey(index, hash, key);
    match survey {
        Survey::BUSY => return Index::BUSY,
        Survey::KNOWN => return Index::KNOWN,
        _ => {}
    }
    let step = survey.nearest_free();
    if step == WAYS || survey.is_flooded() {
        return Index::CROWDED;
    }
    let Some(former) = at(table, Index::new(index, hash.home() ^ step)) else { return Index::FULL };
    let claimed = former.tag.claimed(Owner::of(hash, key));
    if !former.tag.is_free() || !swap(former.entry, former.tag, claimed) {
        return Index::CROWDED;
    }
    // The reach of the same bucket.
    unless_duplicate(table, former, hash, key, step.min(2))
}

/// Returns the index of an entry, this far from its home, that the caller has claimed. Gives it up if
/// another CPU has claimed one for the same key, or keeps the home's entry claimed.
#[inline(always)]
pub(super) fn unless_duplicate<T: Table>(
    table: T,
    claimed: Found<T>,
    hash: Hash,
    key: &Key<T>,
    reach: u32,
) -> Index {
    // Extended only now, as sweeps lower no reach while an entry is claimed: a CPU may be stopped for
    // longer than two sweeps.
    let is_reached = reach == 0 || table.extend(hash, reach);
    if !is_reached || table.has_duplicate(claimed.index, hash, key) {
        claimed.entry.publish(claimed.entry.tag().freed());
        return Index::BUSY;
    }
    claimed.index
}

/// Number of swaps tried, if other CPUs change the tag at the same time.
const TRIES: u32 = 4;

/// Extends the reach of a hash's home, before a flow is published as far away as this. Returns false if another
/// CPU keeps the home's entry claimed.
#[inline(always)]
pub fn extend<T: Storage>(table: T, hash: Hash, reach: u32) -> bool {
    let Some(Hit { entry, .. }) = home(table, hash) else { return false };
    // Publishing a claimed entry would overwrite its reach. One bit for each read, as Linux 6.1 refuses
    // loops that count at their end, where compilers move a counter.
    let mut left = 1_u64 << (T::PATIENCE - 1);
    while left != 0 {
        let tag = entry.tag();
        left >>= 1;
        if tag.reaches(reach) || !tag.is_claimed() {
            break;
        }
    }
    for _ in 0..TRIES {
        let tag = entry.tag();
        if tag.reaches(reach) {
            return true;
        }
        if !tag.is_claimed() && swap(entry, tag, tag.extended(reach)) {
            return true;
        }
    }
    false
}

/// Reads all entries of a bucket on behalf of a flow of this key.
#[inline(always)]
pub fn survey<T: Storage>(table: T, index: u32, hash: Hash, key: &Key<T>) -> Survey {
    let Some(bucket) = table.bucket(index) else { return Survey::from_word(0) };
    let owner = Owner::of(hash, key);
    // Sums of bits, without a branch, each side of which the verifier would follow.
    let mut sum = 0;
    for step in 0..WAYS {
        let entry = bucket.entry(hash.home() ^ step);
        let tag = entry.tag();
        sum += tag.free_bit() << step | tag.half_open_bit() << WAYS;
        if tag.belongs_to(owner) {
            if tag.is_claimed() {
                return Survey::BUSY;
            }
            let index = Index::new(index, hash.home() ^ step);
            if (Hit { entry, index, tag }).matches(table, key) {
                return Survey::KNOWN;
            }
        }
    }
    Survey::from_word(sum)
}

/// Returns true if an entry other than this one is held by the key, or claimed for it.
#[inline(always)]
pub fn has_duplicate<T: Storage>(table: T, index: Index, hash: Hash, key: &Key<T>) -> bool {
    let Some(home) = home(table, hash) else { return false };
    let (reach, owner) = (home.tag.reach(), Owner::of(hash, key));
    // Bits in which indices differ: the verifier would follow each comparison's both results to the end.
    let mut differing = 0;
    for choice in 0..T::CHOICES {
        if !covers(reach, choice) {
            break;
        }
        let number = hash.bucket(choice, table.buckets());
        let Some(bucket) = table.bucket(number) else { return false };
        for way in 0..WAYS {
            let entry = bucket.entry(way);
            let hit = Hit { entry, index: Index::new(number, way), tag: entry.tag() };
            let is_of_key =
                hit.tag.belongs_to(owner) && (hit.tag.is_claimed() || hit.matches(table, key));
            if is_of_key {
                differing |= hit.index.0 ^ index.0;
            }
        }
    }
    differing != 0
}
