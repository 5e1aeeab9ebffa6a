//! Looking a flow up.

use super::{Bucket, CHOICES, Hash, Line, Place, Table, Tag, WAYS};
use crate::flow::{Direction, FlowKey, State};

/// A flow that was found: its line, and the tag that it had.
#[derive(Clone, Copy, Debug)]
pub struct Hit<L> {
    pub line: L,
    pub place: Place,
    pub tag: Tag,
}

/// What a table's searches find.
pub type Found<T> = Hit<<<T as Table>::Bucket as Bucket>::Line>;

/// The line is just being written: ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl<L: Line> Hit<L> {
    #[must_use]
    #[inline(always)]
    pub fn direction(&self) -> Direction {
        self.tag.direction()
    }

    #[must_use]
    #[inline(always)]
    pub fn state(&self) -> State {
        self.tag.state()
    }

    /// Whether all that was read of the line since it was found was this flow's.
    #[must_use]
    #[inline(always)]
    pub fn holds(&self) -> bool {
        self.tag.is_same_flow(self.line.tag_afterwards())
    }
}

/// The flow that packets of this key belong to. A condemned one lives again.
#[inline(always)]
pub fn find<T: Table>(table: T, key: &FlowKey) -> Result<Option<Found<T>>, Busy> {
    let hash = table.seed().hash(key);
    let index = hash.bucket(0, table.buckets());
    let Some(bucket) = table.bucket(index) else { return Ok(None) };
    let line = bucket.line(hash.home());
    let tag = line.tag();
    if tag.is_live(hash.fingerprint()) && line.key() == *key {
        return Ok(Some(Hit { line, place: Place::new(index, hash.home()), tag }));
    }
    let Some(hit) = elsewhere(table, hash, key)? else { return Ok(None) };
    if !hit.tag.is_condemned() {
        return Ok(Some(hit));
    }
    let revived = Hit { tag: hit.tag.revived(), ..hit };
    Ok(table.revive(hit.place, hit.tag).then_some(revived))
}

/// As [`find`], for those who only want to know: a condemned flow stays condemned, and one that is
/// just being written does not count.
#[must_use]
#[inline(always)]
pub fn peek<T: Table>(table: T, key: &FlowKey) -> Option<Found<T>> {
    seek(table, key).unwrap_or(None)
}

/// As [`peek`], but one that is just being written counts.
#[inline(always)]
pub(super) fn seek<T: Table>(table: T, key: &FlowKey) -> Result<Option<Found<T>>, Busy> {
    elsewhere(table, table.seed().hash(key), key)
}

/// What is at a place. It may be anything.
#[must_use]
#[inline(always)]
pub fn at<T: Table>(table: T, place: Place) -> Option<Found<T>> {
    let line = table.bucket(place.bucket())?.line(place.way());
    Some(Hit { line, place, tag: line.tag() })
}

#[inline(always)]
fn elsewhere<T: Table>(table: T, hash: Hash, key: &FlowKey) -> Result<Option<Found<T>>, Busy> {
    let mut place = OVERFLOWED;
    for choice in 0..CHOICES {
        if place == OVERFLOWED {
            place = table.search(hash, key, choice);
        }
    }
    if place == BUSY {
        return Err(Busy);
    }
    let Some(hit) = at(table, place) else { return Ok(None) };
    let Hit { line, tag, .. } = hit;
    let is_ours = tag.is_held() && tag.belongs_to(hash.fingerprint()) && line.key() == *key;
    Ok(is_ours.then_some(hit))
}

/// What [`search`] says instead of a place. No table is so large.
const MISSING: Place = Place(u32::MAX);
const BUSY: Place = Place(u32::MAX - 1);
const OVERFLOWED: Place = Place(u32::MAX - 2);

/// Looks through the bucket of this choice. The next choice matters only if it has ever been full.
#[inline(always)]
pub fn search<T: Table>(table: T, hash: Hash, key: &FlowKey, choice: u32) -> Place {
    let index = hash.bucket(choice, table.buckets());
    let Some(bucket) = table.bucket(index) else { return MISSING };
    for step in 0..WAYS {
        // In the order in which they are given away, as most are where they should be or next to it.
        let way = hash.home() ^ step;
        let line = bucket.line(way);
        let tag = line.tag();
        if !tag.belongs_to(hash.fingerprint()) {
            continue;
        }
        if tag.is_claimed() {
            return BUSY;
        }
        if line.key() == *key {
            return Place::new(index, way);
        }
    }
    if bucket.line(0).tag().is_overflowed() { OVERFLOWED } else { MISSING }
}
