//! Groups of addresses and their leases, in maps that the program reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::offset_of,
    path::Path,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use lb_common::group::{GROUPS as MOST, Group, Lease, NAME, WORDS, moment};
use lb_host::sys::mapping::Mapping;

use crate::{clock::coarse_nanos, layouts::directory, mapped};

const GROUPS: &str = "GROUPS";
const GROUP_ADDRESSES: &str = "GROUP_ADDRESSES";

/// Places of fields in a group, in words.
const LENGTH: usize = offset_of!(Group, length) / size_of::<u64>();
const NAME_PLACE: usize = offset_of!(Group, name) / size_of::<u64>();

/// Words of a name.
const NAME_WORDS: usize = NAME / size_of::<u64>();

/// Leases of all groups, which several processes may change.
#[derive(Debug)]
pub struct Leases(Mapping<AtomicU64>);

impl Leases {
    /// Opens those of a loaded object.
    ///
    /// # Errors
    ///
    /// Returns an error if the object has none, or they cannot be mapped.
    pub fn open(ebpf: &Ebpf) -> Result<Self> {
        mapped::map(ebpf, GROUPS).and_then(Self::new)
    }

    /// Opens those that a daemon, running or not, has pinned. `None` if no daemon has.
    ///
    /// # Errors
    ///
    /// Returns an error if they cannot be opened, for example by another user than root.
    pub fn pinned(bpffs: &Path) -> Result<Option<Self>> {
        let pin = directory(bpffs).join(GROUPS);
        let shown = pin.display();
        if !pin.try_exists().with_context(|| format!("cannot look for {shown}"))? {
            return Ok(None);
        }
        let map = MapData::from_pin(&pin).with_context(|| format!("cannot open {shown}"))?;
        mapped::of_array(&map).and_then(Self::new).with_context(|| format!("{shown}")).map(Some)
    }

    fn new(words: Mapping<AtomicU64>) -> Result<Self> {
        let (found, expected) = (words.values().len(), MOST as usize * WORDS);
        ensure!(found == expected, "the groups have {found} words, not {expected}");
        Ok(Self(words))
    }

    /// Returns the numbers of the groups with a name, from 1 on.
    pub fn named(&self) -> impl Iterator<Item = (u32, String)> + use<'_> {
        let numbers = (1..MOST).map(|number| (number, self.name(number)));
        numbers.filter(|(_, name)| !name.is_empty())
    }

    /// Numbers these groups, fewer than there can be. One that had a number keeps it, with its lease; those of
    /// other groups are given up. Their leases run on, as an earlier program may still use them.
    #[must_use]
    pub fn assign(&self, names: &[&str], length: u64) -> Vec<u32> {
        let known: BTreeMap<String, u32> =
            self.named().map(|(number, name)| (name, number)).collect();
        for (name, number) in &known {
            if !names.contains(&name.as_str()) {
                self.set_name(*number, "");
            }
        }
        let taken: BTreeSet<u32> =
            names.iter().filter_map(|name| known.get(*name)).copied().collect();
        let mut free = (1..MOST).filter(|number| !taken.contains(number));
        let number = |name: &&str| {
            known.get(*name).copied().or_else(|| {
                let number = free.next()?;
                self.word(number).store(0, Release);
                self.set_name(number, name);
                Some(number)
            })
        };
        let numbers: Vec<u32> = names.iter().filter_map(number).collect();
        for number in &numbers {
            self.field(*number, LENGTH).store(length, Relaxed);
        }
        numbers
    }

    /// Makes this node active for a group, if it is not yet. Returns the lease afterwards.
    ///
    /// # Errors
    ///
    /// Returns an error if there can be no further promotion.
    pub fn promote(&self, number: u32) -> Result<Lease> {
        let (now, length) = (lease_time(), self.field(number, LENGTH).load(Relaxed));
        let promoted = self.change(number, |lease| {
            if lease.is_active(now) {
                return Some(lease);
            }
            lease.promoted(lease.epoch() + 1, now, length)
        });
        promoted.map_err(|lease| {
            let (name, epoch) = (self.name(number), lease.epoch());
            anyhow!("{name} was promoted {epoch} times, and cannot be again until a reboot")
        })
    }

    /// Makes this node standby for a group. Returns the lease afterwards.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn demote(&self, number: u32) -> Lease {
        self.change(number, |lease| Some(lease.demoted())).unwrap_or_else(|lease| lease)
    }

    /// Extends the lease of an active node to its usual time, or to this one if that is longer.
    pub fn extend(&self, number: u32, least: u64) {
        let (now, length) = (lease_time(), self.field(number, LENGTH).load(Relaxed));
        // One that is not active stays as it is.
        self.change(number, |lease| lease.extended(lease.epoch(), now, length.max(least))).ok();
    }

    #[must_use]
    pub fn of(&self, number: u32) -> Lease {
        Lease::of_word(self.word(number).load(Acquire))
    }

    /// Changes a lease. Returns what it is afterwards, or, if there is no change of it, what it was.
    ///
    /// # Errors
    ///
    /// Returns the lease as it is if `change` returns `None` for it.
    pub fn change(
        &self,
        number: u32,
        change: impl Fn(Lease) -> Option<Lease>,
    ) -> Result<Lease, Lease> {
        let changed = |word| change(Lease::of_word(word)).map(Lease::word);
        let word = self.word(number);
        match word.fetch_update(Release, Acquire, changed) {
            Ok(before) => Ok(change(Lease::of_word(before)).unwrap_or_else(|| self.of(number))),
            Err(found) => Err(Lease::of_word(found)),
        }
    }

    fn word(&self, number: u32) -> &AtomicU64 {
        self.field(number, 0)
    }

    fn field(&self, number: u32, place: usize) -> &AtomicU64 {
        &self.0.values()[number as usize * WORDS + place]
    }

    fn name_words(&self, number: u32) -> &[AtomicU64] {
        &self.0.values()[number as usize * WORDS + NAME_PLACE..][..NAME_WORDS]
    }

    fn name(&self, number: u32) -> String {
        let bytes: Vec<u8> = self
            .name_words(number)
            .iter()
            .flat_map(|word| word.load(Relaxed).to_ne_bytes())
            .take_while(|byte| *byte != 0)
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn set_name(&self, number: u32, name: &str) {
        let mut bytes = [0; NAME];
        bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        let (words, _) = bytes.as_chunks();
        for (word, bytes) in self.name_words(number).iter().zip(words) {
            word.store(u64::from_ne_bytes(*bytes), Relaxed);
        }
    }
}

/// Returns the present time of leases.
#[must_use]
pub fn lease_time() -> u64 {
    moment(coarse_nanos())
}

/// The maps of groups.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) leases: Arc<Leases>,
    addresses: HashMap<MapData, [u8; 16], u32>,
}

impl Groups {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self> {
        let leases = Leases::open(ebpf)?.into();
        let addresses = ebpf.take_map(GROUP_ADDRESSES).context("the object has no groups")?;
        Ok(Self { leases, addresses: addresses.try_into()? })
    }

    /// Sets the group of each address that is in one.
    pub(super) fn set_addresses(&mut self, wanted: &BTreeMap<[u8; 16], u32>) -> Result<()> {
        let known: Vec<_> = self.addresses.keys().collect::<Result<_, _>>()?;
        for stale in known.iter().filter(|address| !wanted.contains_key(*address)) {
            self.addresses.remove(stale)?;
        }
        wanted.iter().try_for_each(|(address, group)| self.addresses.insert(address, group, 0))?;
        Ok(())
    }
}
