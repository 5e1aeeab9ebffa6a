use std::{os::fd::AsFd as _, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    EbpfLoader,
    maps::{Array, Map, MapData},
};
use lb_common::{
    client_hops::{SharedSlot, SharedSlots},
    table::{
        Label, PlainBucket, Seed, SharedBackend, SharedBucket, SharedTable, Storage as _, WAYS,
        buckets_for, connections_of,
    },
};

use lb_host::sys::mapping::{Mapping, Shared};

use super::accounts::{ACCOUNTS, Accounts};

/// Name of the table's map.
pub const FLOWS: &str = "FLOWS";

/// Name of the map of backends, by id.
pub const BACKENDS: &str = "BACKENDS";

/// Name of the map of next hops to clients.
pub const CLIENT_HOPS: &str = "CLIENT_HOPS";

/// Constants of the table that a program gets when it is loaded.
///
/// The map has one more value behind the table's last bucket, for the [`Label`], by which a later
/// daemon finds the flows again.
#[derive(Clone, Copy, Debug)]
pub struct TablePlan {
    buckets: u32,
    seed: Seed,
    /// 1 if the CPU may reorder loads and stores.
    weakly_ordered: u8,
    /// 1 if packets and bytes of each flow are counted.
    accounting: u8,
}

impl TablePlan {
    /// Plans a new table for this many connections.
    pub fn new(connections: u32) -> Result<Self> {
        let mut seed = Seed::default();
        getrandom::fill(bytemuck::bytes_of_mut(&mut seed))
            .context("the kernel has no random numbers")?;
        Ok(Self::with_seed(connections, seed))
    }

    /// As [`Self::new`], with a seed that is known, as only tests may want it.
    #[must_use]
    pub fn with_seed(connections: u32, seed: Seed) -> Self {
        let weakly_ordered = u8::from(!cfg!(target_arch = "x86_64"));
        Self { buckets: buckets_for(connections), seed, weakly_ordered, accounting: 0 }
    }

    /// Returns this plan with packets and bytes of each flow counted, or not.
    #[must_use]
    pub fn accounting(self, is_on: bool) -> Self {
        Self { accounting: is_on.into(), ..self }
    }

    /// Returns the number of accounts.
    #[must_use]
    pub fn accounts(&self) -> u32 {
        if self.accounting == 0 { 1 } else { self.buckets * WAYS }
    }

    /// Returns the plan of the table that an earlier daemon has left pinned at `pin`, or None if it has
    /// left none, or was killed before it wrote the label, and so has handled no packets.
    pub fn of_pin(pin: &Path) -> Result<Option<Self>> {
        if !pin.exists() {
            return Ok(None);
        }
        let map = MapData::from_pin(pin)
            .with_context(|| format!("cannot open the pinned map {}", pin.display()))?;
        let array: Array<_, PlainBucket> = Map::Array(map).try_into()?;
        let buckets = array.len().checked_sub(1).context("the pinned flow table is empty")?;
        let label = array.get(&buckets, 0).context("cannot read the flow table's label")?;
        let seed = Label::of(&label).seed;
        Ok((seed != Seed::default()).then(|| Self { buckets, ..Self::with_seed(0, seed) }))
    }

    /// Returns this plan with the seed of the table that an earlier daemon has left pinned at `pin`, if
    /// any: next hops to clients are found by it, too.
    pub fn with_seed_of(self, pin: &Path) -> Result<Self> {
        let left = Self::of_pin(pin)?;
        Ok(left.map_or(self, |left| Self { seed: left.seed, ..self }))
    }

    /// Returns the number of values of the map.
    #[must_use]
    pub fn max_entries(&self) -> u32 {
        self.buckets + 1
    }

    pub fn prepare<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader.map_max_entries(FLOWS, self.max_entries());
        loader.override_global("FLOW_BUCKETS", &self.buckets, true);
        loader.override_global("FLOW_SEED", &self.seed.0[..], true);
        loader.override_global("WEAKLY_ORDERED", &self.weakly_ordered, true);
        loader.map_max_entries(ACCOUNTS, self.accounts());
        loader.override_global("ACCOUNTING", &self.accounting, true);
    }

    /// Labels the table of a program that was loaded as planned.
    pub fn label(&self, flows: &mut Map) -> Result<()> {
        let mut array: Array<_, PlainBucket> = flows.try_into()?;
        array
            .set(self.buckets, Label::new(self.seed).into_bucket(), 0)
            .context("cannot label the flow table")
    }

    /// Maps the table and what its flows refer to.
    pub fn open(&self, flows: &Map, backends: &Map, client_hops: &Map) -> Result<FlowTable> {
        Ok(FlowTable {
            buckets: mapping(flows, Some(self.buckets)).context("cannot map the flow table")?,
            backends: mapping(backends, None).context("cannot map the backends")?,
            client_hops: mapping(client_hops, None).context("cannot map the next hops")?,
            accounts: None,
            seed: self.seed,
        })
    }
}

/// Maps the first values of an array, or all.
fn mapping<T: Shared>(map: &Map, count: Option<u32>) -> Result<Mapping<T>> {
    let Map::Array(data) = map else { bail!("it is not an array") };
    let info = data.info()?;
    ensure!(info.value_size() as usize == size_of::<T>(), "its values have another size");
    Ok(Mapping::new(data.fd().as_fd(), count.unwrap_or(info.max_entries()))?)
}

/// The kernel's table, mapped, and what its flows refer to.
#[derive(Debug)]
pub struct FlowTable {
    buckets: Mapping<SharedBucket>,
    backends: Mapping<SharedBackend>,
    client_hops: Mapping<SharedSlot>,
    accounts: Option<Accounts>,
    seed: Seed,
}

impl FlowTable {
    /// Returns this table with the accounts of its flows in this map, if there are any.
    pub fn with_accounts(self, map: &Map) -> Result<Self> {
        Ok(Self { accounts: Accounts::open(map)?, ..self })
    }

    /// Returns the accounts of the flows; None if nothing is accounted.
    #[must_use]
    pub fn accounts(&self) -> Option<&Accounts> {
        self.accounts.as_ref()
    }

    #[must_use]
    pub fn table(&self) -> SharedTable<'_> {
        let (buckets, backends) = (self.buckets.values(), self.backends.values());
        SharedTable { buckets, backends, seed: self.seed }
    }

    /// Returns the number of connections that the table is made for.
    #[must_use]
    pub fn connections(&self) -> u32 {
        connections_of(self.table().buckets())
    }

    /// Returns the next hops to clients, by index.
    #[must_use]
    pub fn client_hops(&self) -> SharedSlots<'_> {
        SharedSlots { slots: self.client_hops.values(), seed: self.seed.0[0] }
    }
}
