//! Review of the homes' reach: a lookup that misses at a flow's home goes on as far as flows of that home
//! have ever been placed, until sweeps find that none is there any more.

use super::{
    Bucket, CHOICES, Entry, Found, Hash, Hit, Index, Storage, Tag, at, find::reach_of,
    storage::swap,
};

/// A pass over all entries of a table.
///
/// The pass puts homes under review; the next one, at least a packet's processing time later, lowers
/// their reach. A CPU that places a flow elsewhere claims its entry first, then extends the reach: if that
/// was before the first pass, the second one sees the flow or the claim; afterwards, it ends the review.
pub struct Review<'a, T> {
    table: T,
    /// By the home's index: the reach of its flows, as far as seen, and [`WAS_UNDER_REVIEW`].
    homes: &'a mut [u8],
    has_seen_all: bool,
}

/// Set if the home was still under review when the pass reached it.
const WAS_UNDER_REVIEW: u8 = 1 << 7;

const _: () = assert!(CHOICES + 2 < WAS_UNDER_REVIEW as u32);

/// An entry after its review.
#[derive(Clone, Copy, Debug)]
pub struct Reviewed<E> {
    /// With its new tag.
    pub hit: Hit<E>,
    /// True if lookups do not find the flow in it, as its backend's id is another backend's by now.
    pub is_lost: bool,
}

/// A [`Reviewed`] entry of a table.
type ReviewedIn<T> = Reviewed<<<T as Storage>::Bucket as Bucket>::Entry>;

impl<'a, T: Storage> Review<'a, T> {
    /// Starts a pass, with a zero for each entry of the table.
    #[must_use]
    pub fn new(table: T, homes: &'a mut [u8]) -> Self {
        Self { table, homes, has_seen_all: true }
    }

    /// Reviews an entry, free or not. Must be called for each entry of the table.
    pub fn visit(&mut self, hit: Found<T>) -> ReviewedIn<T> {
        if hit.tag.is_claimed() {
            // Its CPU was stopped: nobody knows which flow is in it.
            self.has_seen_all = false;
            return Reviewed { hit, is_lost: false };
        }
        let is_lost = hit.tag.is_held() && self.is_lost(hit);
        Reviewed { hit: self.review_home(hit), is_lost }
    }

    /// Puts the home that an entry is under review.
    fn review_home(&mut self, hit: Found<T>) -> Found<T> {
        if hit.tag.is_under_review() {
            self.note(hit.index, |seen| seen | WAS_UNDER_REVIEW);
            return hit;
        }
        if hit.tag.reach() == 0 {
            return hit;
        }
        let tag = hit.tag.under_review();
        // If the tag has changed, the next pass tries again.
        if swap(hit.entry, hit.tag, tag) { Found::<T> { tag, ..hit } } else { hit }
    }

    /// Records how far a flow is from its home, or returns true if it is lost.
    fn is_lost(&mut self, flow: Found<T>) -> bool {
        let hash = self.table.seed().hash(&flow.key(self.table));
        if hash.fingerprint() != flow.tag.fingerprint() {
            return flow.holds();
        }
        self.see(flow, hash);
        false
    }

    fn see(&mut self, flow: Found<T>, hash: Hash) {
        let bucket = |choice| hash.bucket(choice, self.table.buckets());
        let home = Index::new(bucket(0), hash.home());
        if home == flow.index {
            return;
        }
        let mut choices = 0..T::CHOICES;
        if let Some(choice) = choices.find(|choice| bucket(*choice) == flow.index.bucket()) {
            #[expect(clippy::cast_possible_truncation, reason = "three bits")]
            let reach = reach_of(home, flow.index, choice) as u8;
            self.note(home, |seen| seen & WAS_UNDER_REVIEW | reach.max(seen & !WAS_UNDER_REVIEW));
        }
    }

    fn note(&mut self, home: Index, change: impl FnOnce(u8) -> u8) {
        if let Some(seen) = self.homes.get_mut(home.0 as usize) {
            *seen = change(*seen);
        }
    }

    /// Ends the pass and lowers the reach of homes. Returns false if some flows could not be seen.
    pub fn finish(self) -> bool {
        if !self.has_seen_all {
            return false;
        }
        for (index, seen) in (0..).zip(&*self.homes) {
            if seen & WAS_UNDER_REVIEW != 0 {
                self.lower(Index(index), u32::from(seen & !WAS_UNDER_REVIEW));
            }
        }
        true
    }

    fn lower(&self, home: Index, reach: u32) {
        let Some(Found::<T> { entry, tag, .. }) = at(self.table, home) else { return };
        let is_lower = |tag: Tag| tag.is_under_review() && !tag.is_claimed() && tag.reach() > reach;
        if is_lower(tag) {
            entry.exchange(tag, tag.with_reach(reach));
        }
    }
}
