//! An entry for a new flow where its bucket is full, or half-open connections have used up their share:
//! from a connection that is worth less, or in another bucket.

use super::{
    Bucket, Chosen, Entry, Found, Hash, Hit, Index, Key, Owner, Storage, Survey, Table, Tag,
    Victims, WAYS, at, claim::unless_duplicate, find::reach_of, storage::swap,
};
use crate::{
    flow::{State, ticks},
    halves::low,
};

/// Number of half-open entries in a full bucket from which on the oldest of them gives way at once.
const FLOODED_WAYS: u32 = WAYS / 2;

/// Returns the number of looks at buckets for an entry: at all choices, for one that is free or closed; then,
/// beginning with the last one, again for any that may be evicted.
const fn looks<T: Storage>() -> u32 {
    2 * T::CHOICES - 1
}

/// Number of further looks, if other CPUs take the chosen entries.
const TRIES: u32 = 2;

/// Claims an entry for a flow of this key, wherever there is one.
#[inline(always)]
pub fn claim_crowded<T: Table>(table: T, key: &Key<T>, now: u32) -> Index {
    claim_by(table, key, now, looks::<T>())
}

/// As [`claim_crowded`], but no connection is evicted that is established, or ends: the first looks evict
/// none but in a flood.
#[inline(always)]
pub fn claim_unneeded<T: Table>(table: T, key: &Key<T>, now: u32) -> Index {
    claim_by(table, key, now, T::CHOICES - 1)
}

/// Claims an entry in at most so many [`looks`].
#[inline(always)]
fn claim_by<T: Table>(table: T, key: &Key<T>, now: u32, looks: u32) -> Index {
    let hash = table.seed().hash(key);
    let mut look = 0;
    for _ in 0..looks + TRIES {
        let chosen = table.choose(hash, key, now, look);
        let index = chosen.index();
        if index == Index::FULL && look + 1 < looks {
            look += 1;
            continue;
        }
        if !chosen.is_some() {
            return index;
        }
        let Some(former) = at(table, index) else { return Index::FULL };
        // Otherwise it is another flow's by now, whose worth was not considered.
        if chosen.is_for(former.tag) && take(table, former, Owner::of(hash, key), now) {
            let home = Index::new(hash.bucket(0, table.buckets()), hash.home());
            let reach = reach_of(home, index, look % T::CHOICES);
            return unless_duplicate(table, former, hash, key, reach);
        }
    }
    Index::BUSY
}

/// Claims an entry, and removes the connection in it, if any.
#[inline(always)]
fn take<T: Table>(table: T, former: Found<T>, owner: Owner, now: u32) -> bool {
    let Hit { entry, index, tag } = former;
    if tag.is_free() {
        return swap(entry, tag, tag.claimed(owner));
    }
    if !tag.is_held() {
        return false;
    }
    table.note_end(index, tag);
    if !table.remove(index, tag, tag.claimed(owner), now) {
        return false;
    }
    table.evicted(tag.state());
    true
}

/// Chooses an entry of the bucket of this look, see [`looks`].
#[inline(always)]
pub fn choose<T: Table>(table: T, hash: Hash, key: &Key<T>, now: u32, look: u32) -> Chosen {
    let index = hash.bucket(look % T::CHOICES, table.buckets());
    let survey = table.survey(index, hash, key);
    match survey {
        Survey::BUSY => return Chosen::none(Index::BUSY),
        Survey::KNOWN => return Chosen::none(Index::KNOWN),
        _ => {}
    }
    let step = survey.nearest_free();
    if survey.is_flooded() {
        let is_full = step == WAYS && survey.half_open() >= FLOODED_WAYS;
        let victims = if is_full { Victims::HalfOpen } else { Victims::Stalled };
        let oldest = victim(table, index, now, victims);
        if oldest.is_some() {
            return oldest;
        }
    }
    let Some(bucket) = table.bucket(index) else { return Chosen::none(Index::FULL) };
    if step < WAYS {
        let way = hash.home() ^ step;
        return Chosen::entry(Index::new(index, way), bucket.entry(way).tag().as_free());
    }
    let victims = if look + 1 < T::CHOICES { Victims::Closed } else { Victims::All };
    victim(table, index, now, victims)
}

/// More than the worth of any connection.
const NOT_TO_TAKE: u64 = 1 << 50;

/// Returns the [worth](worth) of the connection in an entry, if it is one of these.
#[inline(always)]
fn worth_in(entry: impl Entry, tag: Tag, now: u32, victims: Victims) -> Option<u64> {
    if !tag.is_held() {
        return None;
    }
    let idle = ticks::between(entry.last_seen(), now);
    victims.include(tag, idle).then(|| worth(tag.state(), idle))
}

/// Chooses the connection of a bucket that gives way first: of the state that is worth least, the one
/// that has been silent for the longest time.
#[inline(always)]
fn victim<T: Table>(table: T, index: u32, now: u32, victims: Victims) -> Chosen {
    let halves = [0, HALF].map(|way| table.least_worth(Index::new(index, way), now, victims));
    let least = halves[0].min(halves[1]);
    let Some(bucket) = table.bucket(index) else { return Chosen::none(Index::FULL) };
    let way = low(least) % WAYS;
    let entry = bucket.entry(way);
    let tag = entry.tag();
    if least >= NOT_TO_TAKE {
        return Chosen::none(Index::FULL);
    }
    if worth_in(entry, tag, now, victims) != Some(least / u64::from(WAYS)) {
        // It has changed meanwhile.
        return Chosen::none(Index::BUSY);
    }
    Chosen::entry(Index::new(index, way), tag)
}

/// Half of a bucket: the verifier follows every order of the worths in it.
const HALF: u32 = WAYS / 2;

/// Returns the least worth of a connection in half a bucket, from this entry on, times [`WAYS`], plus the number of
/// its entry; at least [`NOT_TO_TAKE`] if there is none to take.
#[inline(always)]
pub fn least_worth<T: Storage>(table: T, first: Index, now: u32, victims: Victims) -> u64 {
    let Some(bucket) = table.bucket(first.bucket()) else { return NOT_TO_TAKE };
    // Apart from each other, as the verifier tells all numbers apart that are compared.
    let (mut least, mut chosen) = (NOT_TO_TAKE, 0);
    for step in 0..HALF {
        let entry = bucket.entry(first.way() + step);
        let Some(worth) = worth_in(entry, entry.tag(), now, victims) else { continue };
        if worth < least {
            (least, chosen) = (worth, step);
        }
    }
    least * u64::from(WAYS) + u64::from(first.way() + chosen)
}

/// Returns the worth of a connection that has been silent for this long, when one must be evicted: its
/// state first, then the idle time.
#[must_use]
#[inline(always)]
pub const fn worth(state: State, idle: u32) -> u64 {
    let rank: u64 = match state {
        State::Closed => 0,
        State::HalfOpen => 1,
        State::Answered => 2,
        State::Closing => 3,
        State::Established => 4,
    };
    rank << 32 | (u32::MAX - idle) as u64
}
