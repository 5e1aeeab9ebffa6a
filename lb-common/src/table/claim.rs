//! Room for a new flow: a free line of its bucket, or that of a connection which has to go.

use super::{Bucket, Found, Hash, Hit, Line, Place, Table, Tag, WAYS, at, storage::swap};
use crate::flow::{FlowKey, State, ticks};

/// How many lines of a bucket half-open connections may take: a flood of them displaces itself.
pub const HALF_OPEN_WAYS: u32 = WAYS / 4;

/// An established connection makes room for a new one only after this long a silence: a minute.
const SILENCE: u32 = ticks::from_nanos(60 * 1_000_000_000);

/// How often another line is looked for when another CPU has taken the chosen one.
const TRIES: u32 = 3;

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

/// A line in the caller's hands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<L> {
    pub(super) line: L,
    pub(super) place: Place,
    tag: Tag,
}

impl<L: Line> Claim<L> {
    #[inline(always)]
    pub(super) fn publish(self, marks: u16) -> Tag {
        let tag = self.tag.published(marks);
        self.line.publish(tag);
        tag
    }

    #[inline(always)]
    pub(super) fn release(self) {
        self.line.publish(self.tag.freed());
    }
}

/// A line for a flow of this key, which does not exist yet.
#[inline(always)]
pub(super) fn claim<T: Table>(
    table: T,
    key: &FlowKey,
    now: u32,
) -> Result<Claim<<T::Bucket as Bucket>::Line>, Refused> {
    let hash = table.seed().hash(key);
    for _ in 0..TRIES {
        let way = match table.choose(hash, key, now) {
            KNOWN => return Err(Refused::Known),
            BUSY => return Err(Refused::Busy),
            NONE => return Err(Refused::Full),
            way => way,
        };
        let place = Place::new(hash.bucket(table.buckets()), way);
        let Hit { line, tag: former, .. } = at(table, place).ok_or(Refused::Full)?;
        let tag = former.claimed(hash.fingerprint());
        if !take(table, Hit { line, place, tag: former }, tag, now) {
            continue;
        }
        if table.has_twin(place, hash, key) {
            line.publish(tag.freed());
            return Err(Refused::Busy);
        }
        return Ok(Claim { line, place, tag });
    }
    Err(Refused::Busy)
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

/// What [`choose`] and [`victim`] say instead of a way.
const NONE: u32 = WAYS;
const KNOWN: u32 = WAYS + 1;
const BUSY: u32 = WAYS + 2;

/// Which line of its bucket a new flow should get.
#[inline(always)]
pub fn choose<T: Table>(table: T, hash: Hash, key: &FlowKey, now: u32) -> u32 {
    let index = hash.bucket(table.buckets());
    let Some(bucket) = table.bucket(index) else { return NONE };
    // Bits and sums without a branch: the verifier would look at every way through a loop of them.
    let mut free = 0;
    let mut half_open = 0;
    for step in 0..WAYS {
        // The neighbour that shares the hardware's prefetch with the first line comes second.
        let way = hash.home() ^ step;
        let line = bucket.line(way);
        let tag = line.tag();
        free |= tag.free_bit() << step;
        half_open += tag.half_open_bit();
        if tag.belongs_to(hash.fingerprint()) {
            if tag.is_claimed() {
                return BUSY;
            }
            if line.key() == *key {
                return KNOWN;
            }
        }
    }
    let free = if free == 0 { NONE } else { hash.home() ^ free.trailing_zeros() };
    if half_open >= HALF_OPEN_WAYS {
        let oldest = table.victim(index, now, true);
        return if oldest == NONE { free } else { oldest };
    }
    if free == NONE { table.victim(index, now, false) } else { free }
}

/// The line whose connection should go first: the one that has been silent for the longest time,
/// among those of the least worthy state that there is.
#[inline(always)]
pub fn victim<T: Table>(table: T, bucket: u32, now: u32, half_open_only: bool) -> u32 {
    let Some(bucket) = table.bucket(bucket) else { return NONE };
    let mut chosen = NONE;
    let mut least = u64::MAX;
    for way in 0..WAYS {
        let line = bucket.line(way);
        let tag = line.tag();
        if !tag.is_held() {
            continue;
        }
        let state = tag.state();
        if half_open_only && !matches!(state, State::HalfOpen) {
            continue;
        }
        let idle = ticks::between(line.seen(), now);
        if matches!(state, State::Established) && idle < SILENCE {
            continue;
        }
        let worth = worth(state) << 32 | u64::from(u32::MAX - idle);
        if worth < least {
            least = worth;
            chosen = way;
        }
    }
    chosen
}

#[inline(always)]
const fn worth(state: State) -> u64 {
    match state {
        State::Closed => 0,
        State::Closing => 1,
        State::HalfOpen => 2,
        State::Established => 3,
    }
}

/// Whether another line of the bucket is, or is becoming, a flow of the same key. Whoever claims a
/// line and then looks for twins sees the other one, if both claim at once.
#[inline(always)]
pub fn has_twin<T: Table>(table: T, place: Place, hash: Hash, key: &FlowKey) -> bool {
    let Some(bucket) = table.bucket(place.bucket()) else { return false };
    (0..WAYS).any(|way| {
        let line = bucket.line(way);
        let tag = line.tag();
        way != place.way()
            && tag.belongs_to(hash.fingerprint())
            && (tag.is_claimed() || line.key() == *key)
    })
}
