//! Lookup of flows.

use super::{Bucket, Entry, Hash, Index, Key, Owner, Storage, Table, Tag, WAYS};
use crate::flow::{Direction, Endpoints, Ends as _, Pair, State, Tuple};

/// A flow's entry, and the tag that it had when it was found.
#[derive(Clone, Copy, Debug)]
pub struct Hit<E> {
    pub entry: E,
    pub index: Index,
    pub tag: Tag,
}

/// An entry of a table, as lookups return it.
pub type Found<T> = Hit<<<T as Storage>::Bucket as Bucket>::Entry>;

/// A flow, with what its packets' rewrite needs.
#[derive(Clone, Copy, Debug)]
pub struct Known<E: Entry, B> {
    pub hit: Hit<E>,
    /// As read since it was found, like everything else: see [`Hit::holds`].
    pub pair: Pair<E::Family>,
    pub backend: B,
}

/// A flow of a table, as [`find`] returns it.
pub type KnownIn<T> = Known<<<T as Storage>::Bucket as Bucket>::Entry, <T as Storage>::Backend>;

/// The entry is being written: ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl<E: Entry> Hit<E> {
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

    /// Returns the tuple of the flow's packets, as they arrive.
    #[must_use]
    #[inline(always)]
    pub fn key(&self, table: impl Storage<Family = E::Family>) -> Tuple<E::Family> {
        let pair = self.entry.pair();
        pair.key(self.tag.protocol(), self.direction(), &table.endpoints(pair.backend()))
    }

    /// Returns true if the flow's packets have this tuple as they arrive. The tag must belong to it.
    #[inline(always)]
    pub(super) fn matches(
        &self,
        table: impl Storage<Family = E::Family>,
        key: &Tuple<E::Family>,
    ) -> bool {
        let pair = self.entry.pair();
        self.is_of(pair, &table.endpoints(pair.backend()), key)
    }

    /// As [`Self::matches`], of a flow whose pair and backend are known.
    #[inline(always)]
    fn is_of(
        &self,
        pair: Pair<E::Family>,
        ends: &Endpoints<E::Family>,
        key: &Tuple<E::Family>,
    ) -> bool {
        pair.key(key.protocol(), self.direction(), ends) == *key
    }

    /// Returns the tuple of the partner's packets, as they arrive.
    #[must_use]
    #[inline(always)]
    pub fn partner_key(&self, table: impl Storage<Family = E::Family>) -> Tuple<E::Family> {
        let pair = self.entry.pair();
        pair.partner(self.tag.protocol(), self.direction(), &table.endpoints(pair.backend()))
    }

    /// Returns true if everything that was read of the entry since it was found was this flow's.
    #[must_use]
    #[inline(always)]
    pub fn holds(&self) -> bool {
        self.tag.is_same_flow(self.entry.tag_afterwards())
    }
}

/// Returns the entry where a flow of this hash should be, with whatever is in it.
#[inline(always)]
pub(super) fn home<T: Storage>(table: T, hash: Hash) -> Option<Found<T>> {
    at(table, Index::new(hash.bucket(0, table.buckets()), hash.home()))
}

/// Returns the entry at an index, with whatever is in it.
#[must_use]
#[inline(always)]
pub fn at<T: Storage>(table: T, index: Index) -> Option<Found<T>> {
    let entry = table.bucket(index.bucket())?.entry(index.way());
    Some(Hit { entry, index, tag: entry.tag() })
}

/// Returns the flow in an entry if its packets have this tuple as they arrive. The tag must belong to it.
#[must_use]
#[inline(always)]
pub fn known<T: Storage>(table: T, hit: Found<T>, key: &Key<T>) -> Option<KnownIn<T>> {
    let pair = hit.entry.pair();
    let backend = table.backend(pair.backend())?;
    let is_its = hit.is_of(pair, &backend.endpoints(), key);
    is_its.then_some(Known { hit, pair, backend })
}

/// Looks up the flow of a packet. An expiring one is revived.
#[inline(always)]
pub fn find<T: Table>(table: T, key: &Key<T>) -> Result<Option<KnownIn<T>>, Busy> {
    let hash = table.seed().hash(key);
    let owner = Owner::of(hash, key);
    let Some(home) = home(table, hash) else { return Ok(None) };
    if home.tag.is_live(owner)
        && let Some(known) = known(table, home, key)
    {
        return Ok(Some(known));
    }
    if ends_at(home.tag, 0, home.tag, owner) {
        return Ok(None);
    }
    let Some(next) = at(table, home.index.neighbour()) else { return Ok(None) };
    if next.tag.is_live(owner)
        && let Some(known) = known(table, next, key)
    {
        return Ok(Some(known));
    }
    if ends_at(home.tag, 1, next.tag, owner) && !home.tag.belongs_to(owner) {
        return Ok(None);
    }
    let Some(found) = elsewhere(table, hash, key)? else { return Ok(None) };
    let hit = found.hit;
    if !hit.tag.is_expiring() {
        return Ok(Some(found));
    }
    let revived = Hit { tag: hit.tag.revived(), ..hit };
    Ok(table.revive(hit.index, hit.tag)?.then_some(Known { hit: revived, ..found }))
}

/// As [`find`], for those who only read: an expiring flow stays expiring, and one that is being
/// written is not found.
#[must_use]
#[inline(always)]
pub fn peek<T: Table>(table: T, key: &Key<T>) -> Option<Found<T>> {
    seek(table, key).unwrap_or(None)
}

/// As [`peek`], but tells if the flow is being written.
#[inline(always)]
pub fn seek<T: Table>(table: T, key: &Key<T>) -> Result<Option<Found<T>>, Busy> {
    Ok(elsewhere(table, table.seed().hash(key), key)?.map(|found| found.hit))
}

/// Returns true if a lookup that has not found its flow in an entry ends there: no flow of the home is
/// further away than this, and none of this hash is in the entry.
#[inline(always)]
fn ends_at(home: Tag, reach: u32, entry: Tag, owner: Owner) -> bool {
    home.reach() <= reach && !entry.belongs_to(owner)
}

/// Returns how far a flow at this index, in the bucket of this choice, is from its home: 0, at home; 1, in
/// the same cache line; 2, in the same bucket; n + 2, in the bucket of choice n.
#[must_use]
#[inline(always)]
pub fn reach_of(home: Index, index: Index, choice: u32) -> u32 {
    // A small table may have one bucket for several choices.
    if index == home {
        return 0;
    }
    if choice > 0 {
        return choice + 2;
    }
    if index == home.neighbour() { 1 } else { 2 }
}

/// Returns true if flows whose home has this reach may be in the bucket of this choice.
#[inline(always)]
pub(super) const fn covers(reach: u32, choice: u32) -> bool {
    choice == 0 || reach >= choice + 2
}

/// Looks a flow up in the buckets that its home reaches.
#[inline(always)]
fn elsewhere<T: Table>(table: T, hash: Hash, key: &Key<T>) -> Result<Option<KnownIn<T>>, Busy> {
    let mut index = table.search(hash, key, 0);
    if index == Index::MISSING {
        index = table.search_further(hash, key);
    }
    if index == Index::BUSY {
        return Err(Busy);
    }
    let Some(hit) = at(table, index) else { return Ok(None) };
    let is_ours = hit.tag.is_held() && hit.tag.belongs_to(Owner::of(hash, key));
    Ok(is_ours.then(|| known(table, hit, key)).flatten())
}

/// Looks a flow up in the buckets of its further choices that its home reaches.
#[inline(always)]
pub fn search_further<T: Table>(table: T, hash: Hash, key: &Key<T>) -> Index {
    let reach = home(table, hash).map_or(0, |home| home.tag.reach());
    let mut index = Index::MISSING;
    for choice in 1..T::CHOICES {
        if index == Index::MISSING && covers(reach, choice) {
            index = table.search(hash, key, choice);
        }
    }
    index
}

/// Looks a flow up in the bucket of this choice. Returns its index, or that it is being written, or
/// missing.
#[inline(always)]
pub fn search<T: Storage>(table: T, hash: Hash, key: &Key<T>, choice: u32) -> Index {
    let index = hash.bucket(choice, table.buckets());
    let Some(bucket) = table.bucket(index) else { return Index::MISSING };
    let owner = Owner::of(hash, key);
    for step in 0..WAYS {
        // In the order in which entries are assigned, nearest first.
        let way = hash.home() ^ step;
        let entry = bucket.entry(way);
        let tag = entry.tag();
        if !tag.belongs_to(owner) {
            continue;
        }
        if tag.is_claimed() {
            return Index::BUSY;
        }
        let index = Index::new(index, way);
        if (Hit { entry, index, tag }).matches(table, key) {
            return index;
        }
    }
    Index::MISSING
}
