//! The table of services: records, and an index that names them.
//!
//! A word of the index names a record, and holds a fingerprint of its key. A key has two buckets of
//! words. The daemon is the only writer, and packets are looked up meanwhile: each of its writes to the
//! index is one store of a word, and a record that a word names never changes.

use bytemuck::{Pod, Zeroable};

use crate::{
    halves::{high, join, low},
    mix::mix,
    service::{Service, ServiceKey},
};

/// Number of words in a bucket.
pub const WAYS: u32 = 8;

/// A bucket of the index: one cache line. A word has the number of a record in its lower half and a
/// fingerprint in its upper one; 0 names no record.
pub type IndexBucket = [u64; WAYS as usize];

/// The first record that is used, as 0 means "none".
pub const FIRST_RECORD: u32 = 1;

/// Number of records for each service. A service that moves has two for a moment, as the new one is
/// written before the old one is removed; the others rest before they are used again.
pub const RECORDS_EACH: u32 = 4;

/// Number of records in addition: the first one, which is never used, and some for changes in a row of few
/// services.
pub const OTHER_RECORDS: u32 = FIRST_RECORD + 64;

/// A service and its key: one cache line.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Record {
    pub key: ServiceKey,
    pub service: Service,
    pub reserved: [u64; 2],
}

const _: () = assert!(size_of::<IndexBucket>() == 64 && size_of::<Record>() == 64);

impl Record {
    #[must_use]
    pub const fn new(key: ServiceKey, service: Service) -> Self {
        Self { key, service, reserved: [0; 2] }
    }
}

/// Returns the number of buckets of a table with room for this many services: one for each, as at most
/// two of its eight words are then in use.
#[must_use]
pub const fn buckets(services: u32) -> u32 {
    services
}

/// Returns the number of records of a table with room for this many services.
#[must_use]
pub const fn records(services: u32) -> u32 {
    services * RECORDS_EACH + OTHER_RECORDS
}

/// The hash of a key: each half selects a bucket. No secret seed is needed, as only the operator chooses
/// services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(u64);

impl Hash {
    /// Returns the hash of a key. No two IPv4 addresses and TCP ports have the same one: the factors are
    /// odd, and the sum's lower half depends on the port alone.
    #[must_use]
    #[inline(always)]
    pub fn of(key: &ServiceKey) -> Self {
        let [first, second, third]: [u64; 3] = bytemuck::must_cast(*key);
        let sum = first
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(second.wrapping_mul(0xd6e8_feb8_6659_fd93))
            .wrapping_add(third.wrapping_mul(0xa076_1d64_78bd_642f));
        Self(mix(sum))
    }

    /// Returns the two of this many buckets that may name a key's record.
    #[must_use]
    #[inline(always)]
    pub const fn choices(self, buckets: u32) -> [u32; 2] {
        [scaled(high(self.0), buckets), scaled(low(self.0), buckets)]
    }

    /// Returns the way in its buckets that a key gets if it is free.
    #[must_use]
    #[inline(always)]
    pub const fn home(self) -> u32 {
        self.fingerprint() % WAYS
    }

    /// Returns what a word holds of a key: never 0, unlike a word that names nothing.
    #[inline(always)]
    const fn fingerprint(self) -> u32 {
        high(self.0).wrapping_add(low(self.0)) | 1 << 31
    }

    /// Returns true if a word has the fingerprint of this hash.
    #[inline(always)]
    const fn is_of(self, word: u64) -> bool {
        high(word) == self.fingerprint()
    }

    const fn word(self, record: u32) -> u64 {
        join(record, self.fingerprint())
    }
}

/// Returns the place at `part` / 2^32 of this many.
#[inline(always)]
const fn scaled(part: u32, places: u32) -> u32 {
    high(part as u64 * places as u64)
}

/// Returns the number of the record that a bucket names for a key with this hash, or 0. `home` is the word
/// of its home, and `word` returns that of a way. No two words of a bucket have the same fingerprint.
///
/// Most keys are at home: one comparison, whose result a CPU guesses well.
#[must_use]
#[inline(always)]
pub fn named(hash: Hash, home: u64, word: impl Fn(u32) -> u64) -> u32 {
    if hash.is_of(home) {
        return low(home);
    }
    for way in 0..WAYS {
        let word = word(way);
        if hash.is_of(word) {
            return low(word);
        }
    }
    0
}

/// The memory of a table, for its only writer.
pub trait Store {
    fn buckets(&self) -> u32;

    /// Returns a word of the index, which exists. Words of a bucket follow each other.
    fn word(&self, place: u32) -> u64;

    /// Writes a word of the index in one store, after everything that was written before.
    fn set_word(&mut self, place: u32, word: u64);

    /// Returns a record, or `None` if there are not so many.
    fn record(&self, number: u32) -> Option<Record>;
}

/// Error: a key's buckets are full, and none of their services can move to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Returns the number of the record that the index names for a key.
#[must_use]
pub fn find(store: &impl Store, key: &ServiceKey) -> Option<u32> {
    place_of(store, key).map(|place| low(store.word(place)))
}

/// Makes the index name this record, which holds the key already. Returns the number of the record that it
/// has named for the key before.
///
/// # Errors
///
/// Returns an error, and changes nothing, if there is no room.
pub fn name(store: &mut impl Store, key: &ServiceKey, record: u32) -> Result<Option<u32>, Full> {
    let hash = Hash::of(key);
    let present = place_of(store, key);
    let former = present.map(|place| low(store.word(place)));
    let place = match present {
        Some(place) => place,
        None => free_place(store, hash).or_else(|| make_room(store, hash)).ok_or(Full)?,
    };
    store.set_word(place, hash.word(record));
    Ok(former)
}

/// Makes the index name no record for a key. Returns the number of the one that it has named.
pub fn forget(store: &mut impl Store, key: &ServiceKey) -> Option<u32> {
    let place = place_of(store, key)?;
    let former = low(store.word(place));
    store.set_word(place, 0);
    Some(former)
}

/// Clears the words by which no packet finds a service: those of a writer that was killed between two
/// writes, and damage. Returns their number.
pub fn repair(store: &mut impl Store) -> u32 {
    let mut cleared = 0;
    for place in 0..store.buckets() * WAYS {
        if store.word(place) != 0 && !is_sound(store, place) {
            store.set_word(place, 0);
            cleared += 1;
        }
    }
    cleared
}

/// Returns the records that the index names, by their numbers. Of two for one key, only the one that
/// packets find.
pub fn entries<S: Store>(store: &S) -> impl Iterator<Item = (u32, Record)> + use<'_, S> {
    let places = (0..store.buckets() * WAYS).filter(|place| is_sound(store, *place));
    places.filter_map(|place| {
        let number = low(store.word(place));
        store.record(number).map(|record| (number, record))
    })
}

/// Returns true if packets find a record by this word.
fn is_sound(store: &impl Store, place: u32) -> bool {
    let word = store.word(place);
    if word == 0 {
        return false;
    }
    let mut earlier = place - place % WAYS..place;
    if earlier.any(|earlier| high(store.word(earlier)) == high(word)) {
        return false;
    }
    store.record(low(word)).is_some_and(|record| place_of(store, &record.key) == Some(place))
}

/// Returns the place of the word that names a key's record.
fn place_of(store: &impl Store, key: &ServiceKey) -> Option<u32> {
    let hash = Hash::of(key);
    let is_it = |place: &u32| {
        let word = store.word(*place);
        hash.is_of(word) && store.record(low(word)).is_some_and(|record| record.key == *key)
    };
    hash.choices(store.buckets()).into_iter().flat_map(places).find(is_it)
}

fn places(bucket: u32) -> core::ops::Range<u32> {
    bucket * WAYS..(bucket + 1) * WAYS
}

/// Returns a free place in the first of a key's buckets that has one.
fn free_place(store: &impl Store, hash: Hash) -> Option<u32> {
    hash.choices(store.buckets()).into_iter().find_map(|bucket| free_in(store, bucket, hash))
}

/// Returns a free place in a bucket for a key, its home if that is free; none if another key has the same
/// fingerprint there.
fn free_in(store: &impl Store, bucket: u32, hash: Hash) -> Option<u32> {
    if has_fingerprint(store, bucket, hash) {
        return None;
    }
    let mut from_home = (0..WAYS).map(|step| bucket * WAYS + (hash.home() ^ step));
    from_home.find(|place| store.word(*place) == 0)
}

fn has_fingerprint(store: &impl Store, bucket: u32, hash: Hash) -> bool {
    places(bucket).any(|place| hash.is_of(store.word(place)))
}

/// Copies a word from one of a key's buckets to the other bucket of that word. Returns its former place,
/// to be overwritten.
///
/// Words move from a first choice to a second one only: a packet reads the first one first, so that it
/// finds the word there, or has missed it after it was copied to the second one.
fn make_room(store: &mut impl Store, hash: Hash) -> Option<u32> {
    let buckets = store.buckets();
    let is_clear = |bucket: &u32| !has_fingerprint(store, *bucket, hash);
    let candidates = hash.choices(buckets).into_iter().filter(is_clear).flat_map(places);
    let movable = |from: u32| {
        let word = store.word(from);
        let moved = Hash::of(&store.record(low(word))?.key);
        let [first, second] = moved.choices(buckets);
        let to = if first == from / WAYS { free_in(store, second, moved)? } else { return None };
        Some((from, to, word))
    };
    let (from, to, word) = candidates.into_iter().find_map(movable)?;
    store.set_word(to, word);
    Some(from)
}
