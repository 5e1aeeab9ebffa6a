use super::{
    Busy, Chosen, Hash, Index, Key, Storage, Survey, Table, Tag, Victims, choose, claim_crowded,
    claim_elsewhere, claim_unneeded, extend, has_duplicate, least_worth, remove, revive, search,
    search_further, survey,
};

/// A table whose steps are called directly.
pub trait Direct: Storage {}

impl<S: Direct> Table for S {
    fn search(self, hash: Hash, key: &Key<Self>, choice: u32) -> Index {
        search(self, hash, key, choice)
    }

    fn search_further(self, hash: Hash, key: &Key<Self>) -> Index {
        search_further(self, hash, key)
    }

    fn claim_elsewhere(self, key: &Key<Self>) -> Index {
        claim_elsewhere(self, key)
    }

    fn claim_crowded(self, key: &Key<Self>, now: u32) -> Index {
        claim_crowded(self, key, now)
    }

    fn claim_unneeded(self, key: &Key<Self>, now: u32) -> Index {
        claim_unneeded(self, key, now)
    }

    fn choose(self, hash: Hash, key: &Key<Self>, now: u32, look: u32) -> Chosen {
        choose(self, hash, key, now, look)
    }

    fn extend(self, hash: Hash, reach: u32) -> bool {
        extend(self, hash, reach)
    }

    fn survey(self, bucket: u32, hash: Hash, key: &Key<Self>) -> Survey {
        survey(self, bucket, hash, key)
    }

    fn has_duplicate(self, index: Index, hash: Hash, key: &Key<Self>) -> bool {
        has_duplicate(self, index, hash, key)
    }

    fn least_worth(self, first: Index, now: u32, victims: Victims) -> u64 {
        least_worth(self, first, now, victims)
    }

    fn remove(self, index: Index, tag: Tag, to: Tag, now: u32) -> bool {
        remove(self, index, tag, to, now)
    }

    fn revive(self, index: Index, tag: Tag) -> Result<bool, Busy> {
        revive(self, index, tag)
    }
}
