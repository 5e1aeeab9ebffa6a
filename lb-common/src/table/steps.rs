use super::{Busy, Chosen, Hash, Index, Key, Storage, Survey, Tag, Victims};

/// Steps of the algorithm, with plain numbers as arguments. Each is the function of the same name in
/// this module: a [`Direct`](super::Direct) table calls it; the kernel's program makes it a global function, which the
/// verifier checks once instead of once a call.
pub trait Table: Storage {
    fn search(self, hash: Hash, key: &Key<Self>, choice: u32) -> Index;
    fn search_further(self, hash: Hash, key: &Key<Self>) -> Index;
    fn claim_elsewhere(self, key: &Key<Self>) -> Index;
    fn claim_crowded(self, key: &Key<Self>, now: u32) -> Index;
    fn claim_unneeded(self, key: &Key<Self>, now: u32) -> Index;
    fn choose(self, hash: Hash, key: &Key<Self>, now: u32, look: u32) -> Chosen;
    fn extend(self, hash: Hash, reach: u32) -> bool;
    fn survey(self, bucket: u32, hash: Hash, key: &Key<Self>) -> Survey;
    fn has_duplicate(self, index: Index, hash: Hash, key: &Key<Self>) -> bool;
    fn least_worth(self, first: Index, now: u32, victims: Victims) -> u64;
    fn remove(self, index: Index, tag: Tag, to: Tag, now: u32) -> bool;
    fn revive(self, index: Index, tag: Tag) -> Result<bool, Busy>;
}
