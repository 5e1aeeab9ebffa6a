//! An entry for a new flow where its bucket is full, or half-open connections have used up their share:
//! from a connection that is worth less, or in another bucket.

use super::{
    Bucket, Entry, Found, Hash, Hit, Index, Key, Owner, Storage, Survey, Table, Tag, WAYS, at,
    claim::{BUSY, FULL, KNOWN, unless_duplicate},
    find::reach_of,
    storage::swap,
};
use crate::{
    flow::{State, ticks},
    halves::low,
};

/// Idle time after which a half-open connection beyond the [share](super::HALF_OPEN_WAYS) gives way: a
/// second, in which handshakes end, and after which a client retransmits its SYN (RFC 6298).
const HANDSHAKE: u32 = ticks::from_nanos(1_000_000_000);

/// Number of half-open entries in a full bucket from which on the oldest of them gives way at once.
const FLOODED_WAYS: u32 = WAYS / 2;

/// Idle time after which an established connection may be evicted: a minute.
pub const SILENCE: u32 = ticks::from_nanos(60 * 1_000_000_000);

/// Returns the number of looks at buckets for an entry: at all choices, for one that is free or closed; then,
/// beginning with the last one, again for any that may be evicted.
const fn looks<T: Storage>() -> u32 {
    2 * T::CHOICES - 1
}

/// Number of further looks, if other CPUs take the chosen entries.
const TRIES: u32 = 2;

/// An entry that a new flow may get, provided that its tag is what it was when it was chosen: the index,
/// and above it the tag's upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen(u64);

impl Chosen {
    /// No entry, for this reason.
    const fn none(reason: Index) -> Self {
        Self(reason.0 as u64)
    }

    #[inline(always)]
    const fn entry(index: Index, tag: Tag) -> Self {
        Self(tag.without_reach() & !(u32::MAX as u64) | index.0 as u64)
    }

    #[must_use]
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[must_use]
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    const fn index(self) -> Index {
        Index(self.0 as u32)
    }

    /// Returns true if the entry was chosen with this tag, but for its reach.
    #[inline(always)]
    const fn is_for(self, tag: Tag) -> bool {
        (self.0 ^ tag.without_reach()) >> 32 == 0
    }

    #[inline(always)]
    const fn is_some(self) -> bool {
        self.index().0 < BUSY.0
    }
}

/// Claims an entry for a flow of this key, wherever there is one.
#[inline(always)]
pub fn claim_crowded<T: Table>(table: T, key: &Key<T>, now: u32) -> Index {
    let hash = table.seed().hash(key);
    let mut look = 0;
    for _ in 0..looks::<T>() + TRIES {
        let chosen = table.choose(hash, key, now, look);
        let index = chosen.index();
        if index == FULL && look + 1 < looks::<T>() {
            look += 1;
            continue;
        }
        if !chosen.is_some() {
            return index;
        }
        let Some(former) = at(table, index) else { return FULL };
        // Otherwise it is another flow's by now, whose worth was not considered.
        if chosen.is_for(former.tag) && take(table, former, Owner::of(hash, key), now) {
            let home = Index::new(hash.bucket(0, table.buckets()), hash.home());
            let reach = reach_of(home, index, look % T::CHOICES);
            return unless_duplicate(table, former, hash, key, reach);
        }
    }
    BUSY
}

/// Claims an entry, and removes the connection in it, if any.
#[inline(always)]
fn take<T: Table>(table: T, former: Found<T>, owner: Owner, now: u32) -> bool {
    let Hit { entry, index, tag } = former;
    let claimed = tag.claimed(owner);
    if tag.is_free() {
        return swap(entry, tag, claimed);
    }
    if !tag.is_held() || !table.remove(index, tag, claimed, now) {
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
        Survey::BUSY => return Chosen::none(BUSY),
        Survey::KNOWN => return Chosen::none(KNOWN),
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
    let Some(bucket) = table.bucket(index) else { return Chosen::none(FULL) };
    if step < WAYS {
        let way = hash.home() ^ step;
        return Chosen::entry(Index::new(index, way), bucket.entry(way).tag().as_free());
    }
    let victims = if look + 1 < T::CHOICES { Victims::Closed } else { Victims::All };
    victim(table, index, now, victims)
}

/// Connections whose entries a new flow may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Victims {
    /// Those that have ended: other buckets come next, before any other connection is evicted.
    Closed,
    /// Half-open ones that nobody seems to continue.
    Stalled,
    HalfOpen,
    All,
}

impl Victims {
    #[must_use]
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Closed,
            1 => Self::Stalled,
            2 => Self::HalfOpen,
            _ => Self::All,
        }
    }

    #[inline(always)]
    const fn include(self, state: State, idle: u32) -> bool {
        match self {
            Self::Closed => matches!(state, State::Closed),
            Self::Stalled => matches!(state, State::HalfOpen) && idle >= HANDSHAKE,
            Self::HalfOpen => matches!(state, State::HalfOpen),
            Self::All => !matches!(state, State::Established) || idle >= SILENCE,
        }
    }
}

/// More than the worth of any connection.
const NOT_TO_TAKE: u64 = 1 << 50;

/// Returns the [worth](worth) of the connection in an entry, if it is one of these.
#[inline(always)]
fn worth_in(entry: impl Entry, tag: Tag, now: u32, victims: Victims) -> Option<u64> {
    if !tag.is_held() {
        return None;
    }
    let (state, idle) = (tag.state(), ticks::between(entry.last_seen(), now));
    victims.include(state, idle).then(|| worth(state, idle))
}

/// Chooses the connection of a bucket that gives way first: of the state that is worth least, the one
/// that has been silent for the longest time.
#[inline(always)]
fn victim<T: Table>(table: T, index: u32, now: u32, victims: Victims) -> Chosen {
    let halves = [0, HALF].map(|way| table.least_worth(Index::new(index, way), now, victims));
    let least = halves[0].min(halves[1]);
    let Some(bucket) = table.bucket(index) else { return Chosen::none(FULL) };
    let way = low(least) % WAYS;
    let entry = bucket.entry(way);
    let tag = entry.tag();
    if least >= NOT_TO_TAKE {
        return Chosen::none(FULL);
    }
    if worth_in(entry, tag, now, victims) != Some(least / u64::from(WAYS)) {
        // It has changed meanwhile.
        return Chosen::none(BUSY);
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
