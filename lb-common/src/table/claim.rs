//! Room for a new flow: a free line of its bucket, or that of a connection which has to go.

use super::{Bucket, CHOICES, Found, Hash, Line, Place, Table, Tag, WAYS, at, storage::swap};
use crate::flow::{FlowKey, State, ticks};

/// How many lines of a bucket half-open connections may keep: a flood of them displaces itself.
pub const HALF_OPEN_WAYS: u32 = WAYS / 4;

/// Beyond that a half-open connection makes room for a new one after this long a silence: a second, in
/// which handshakes end, and after which a client that was not answered sends its SYN again (RFC 6298).
const HANDSHAKE: u32 = ticks::from_nanos(1_000_000_000);

/// How many half-open lines a full bucket has in a flood: the oldest of them makes room at once.
const FLOODED_WAYS: u32 = WAYS / 2;

/// An established connection makes room for a new one only after this long a silence: a minute.
pub const SILENCE: u32 = ticks::from_nanos(60 * 1_000_000_000);

/// How often another line is looked for when another CPU has taken the chosen one, or a bucket has
/// none.
const TRIES: u32 = CHOICES + 2;

/// Why a flow got no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is a flow of this key.
    Known,
    /// Another CPU is just making a flow of this key, or takes one line after the other.
    Busy,
    /// All lines are held by established connections that are not silent.
    Full,
}

/// A line in the caller's hands, for a flow of this key, which does not exist yet.
#[inline(always)]
pub(super) fn obtain<T: Table>(table: T, key: &FlowKey, now: u32) -> Result<Found<T>, Refused> {
    match table.claim(key, now) {
        KNOWN => Err(Refused::Known),
        BUSY => Err(Refused::Busy),
        place => at(table, place).ok_or(Refused::Full),
    }
}

/// What is said instead of a place. No table is so large.
const FULL: Place = Place(u32::MAX);
const KNOWN: Place = Place(u32::MAX - 1);
const BUSY: Place = Place(u32::MAX - 2);

/// A line that a new flow may get, as long as its tag is what it was when the line was chosen: the
/// place, and above it the tag's upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen(u64);

impl Chosen {
    /// There is none, for this reason.
    const fn none(reason: Place) -> Self {
        Self(reason.0 as u64)
    }

    #[inline(always)]
    const fn line(place: Place, tag: Tag) -> Self {
        Self(tag.word() & !(u32::MAX as u64) | place.0 as u64)
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
    const fn place(self) -> Place {
        Place(self.0 as u32)
    }

    /// Whether this is still the tag that the line was chosen for.
    #[inline(always)]
    const fn is_for(self, tag: Tag) -> bool {
        (self.0 ^ tag.word()) >> 32 == 0
    }

    #[inline(always)]
    const fn is_some(self) -> bool {
        self.place().0 < BUSY.0
    }
}

/// Claims a line for a flow of this key.
#[inline(always)]
pub fn claim<T: Table>(table: T, key: &FlowKey, now: u32) -> Place {
    let hash = table.seed().hash(key);
    let mut choice = 0;
    for _ in 0..TRIES {
        let chosen = table.choose(hash, key, now, choice);
        let place = chosen.place();
        if place == FULL && choice + 1 < CHOICES {
            choice += 1;
            continue;
        }
        let Some(former) = at(table, place) else { return place };
        let tag = former.tag.claimed(hash.fingerprint());
        // Otherwise it has become another flow's, which was never weighed.
        if !chosen.is_for(former.tag) || !take(table, former, tag, now) {
            continue;
        }
        if table.has_twin(place, hash, key) {
            former.line.publish(former.line.tag().freed());
            return BUSY;
        }
        return place;
    }
    BUSY
}

#[inline(always)]
fn take<T: Table>(table: T, former: Found<T>, tag: Tag, now: u32) -> bool {
    if former.tag.is_free() {
        return swap(former.line, former.tag, tag);
    }
    if !former.tag.is_held() || !table.remove(former.place, former.tag, tag, now) {
        return false;
    }
    table.evicted(former.state());
    true
}

/// What a new flow has to know of all lines of a bucket.
///
/// From the lowest bit on: for each step from the flow's home whether the line is free, how many
/// lines are half-open, whether one is the flow's, and whether one is just becoming it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey(u32);

impl Survey {
    const KNOWN: Self = Self(1 << 16);
    const BUSY: Self = Self(1 << 17);

    #[must_use]
    #[inline(always)]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    #[must_use]
    #[inline(always)]
    pub const fn word(self) -> u32 {
        self.0
    }

    /// By steps from the flow's home.
    #[inline(always)]
    const fn free(self) -> u32 {
        self.0 & ((1 << WAYS) - 1)
    }

    #[inline(always)]
    const fn half_open(self) -> u32 {
        self.0 >> WAYS & 0xff
    }
}

/// Looks at all lines of a bucket for a flow of this key.
#[inline(always)]
pub fn survey<T: Table>(table: T, index: u32, hash: Hash, key: &FlowKey) -> Survey {
    let Some(bucket) = table.bucket(index) else { return Survey(0) };
    // Bits and sums without a branch: the verifier would look at every way through a loop of them.
    let mut seen = 0;
    for step in 0..WAYS {
        // The neighbour that shares the hardware's prefetch with the first line comes second.
        let line = bucket.line(hash.home() ^ step);
        let tag = line.tag();
        seen += tag.free_bit() << step | tag.half_open_bit() << WAYS;
        if tag.belongs_to(hash.fingerprint()) {
            if tag.is_claimed() {
                return Survey::BUSY;
            }
            if line.key() == *key {
                return Survey::KNOWN;
            }
        }
    }
    Survey(seen)
}

/// Which line of its bucket of this choice a new flow should get. If the bucket has none, it says so
/// to those who will look for the flow.
#[inline(always)]
pub fn choose<T: Table>(table: T, hash: Hash, key: &FlowKey, now: u32, choice: u32) -> Chosen {
    let index = hash.bucket(choice, table.buckets());
    let survey = table.survey(index, hash, key);
    match survey {
        Survey::BUSY => return Chosen::none(BUSY),
        Survey::KNOWN => return Chosen::none(KNOWN),
        _ => {}
    }
    let (free, half_open) = (survey.free(), survey.half_open());
    if half_open >= HALF_OPEN_WAYS {
        let is_flooded = free == 0 && half_open >= FLOODED_WAYS;
        let victims = if is_flooded { Victims::HalfOpen } else { Victims::Stalled };
        let oldest = table.victim(index, now, victims);
        if oldest.is_some() {
            return oldest;
        }
    }
    let Some(bucket) = table.bucket(index) else { return Chosen::none(FULL) };
    if free != 0 {
        let way = hash.home() ^ free.trailing_zeros();
        return Chosen::line(Place::new(index, way), bucket.line(way).tag().as_free());
    }
    let victims = if choice + 1 < CHOICES { Victims::Closed } else { Victims::All };
    let victim = table.victim(index, now, victims);
    if victim.is_some() {
        return victim;
    }
    let first = bucket.line(0);
    for _ in 0..TRIES {
        let tag = first.tag();
        if tag.is_overflowed() && !tag.is_fading() {
            return Chosen::none(FULL);
        }
        // Whoever has claimed the line would overwrite the mark.
        if !tag.is_claimed() && swap(first, tag, tag.overflowed()) {
            return Chosen::none(FULL);
        }
    }
    Chosen::none(BUSY)
}

/// Whose line a new flow may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Victims {
    /// Of those that have ended: there are other buckets to look in before anybody else goes.
    Closed,
    /// Of half-open ones that nobody seems to go on with.
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

/// The line whose connection should go first: the one that has been silent for the longest time,
/// among those of the least worthy state that there is.
#[inline(always)]
pub fn victim<T: Table>(table: T, index: u32, now: u32, victims: Victims) -> Chosen {
    let Some(bucket) = table.bucket(index) else { return Chosen::none(FULL) };
    let mut chosen = Chosen::none(FULL);
    let mut least = u64::MAX;
    for way in 0..WAYS {
        let line = bucket.line(way);
        let tag = line.tag();
        if !tag.is_held() {
            continue;
        }
        let state = tag.state();
        let idle = ticks::between(line.seen(), now);
        if !victims.include(state, idle) {
            continue;
        }
        let worth = worth(state, idle);
        if worth < least {
            least = worth;
            chosen = Chosen::line(Place::new(index, way), tag);
        }
    }
    chosen
}

/// What a connection is worth that was silent for so long, when one has to go: its state first, then
/// how lately it was heard of.
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

/// Whether another line of the bucket is, or is becoming, a flow of the same key. Whoever claims a
/// line and then looks for twins sees the other one, if both claim at once.
#[inline(always)]
pub fn has_twin<T: Table>(table: T, place: Place, hash: Hash, key: &FlowKey) -> bool {
    for choice in 0..CHOICES {
        let index = hash.bucket(choice, table.buckets());
        let Some(bucket) = table.bucket(index) else { return false };
        for way in 0..WAYS {
            let line = bucket.line(way);
            let tag = line.tag();
            if tag.belongs_to(hash.fingerprint())
                && (tag.is_claimed() || line.key() == *key)
                && Place::new(index, way) != place
            {
                return true;
            }
        }
        if !bucket.line(0).tag().is_overflowed() {
            return false;
        }
    }
    false
}
