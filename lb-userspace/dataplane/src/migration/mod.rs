//! Live migration: maps of other shapes replace those of an earlier daemon, and connections go on.
//!
//! Limits set the sizes of maps; a version those of counters. Only maps whose shape changes are replaced, and
//! the flow table's counts of connections with it. The programs before and after share all others, so that
//! ids, rings, next hops and counters stay as they are.
//!
//! 1. The pins of those maps get other names, and new maps theirs ([`aside`]). What the former maps hold
//!    is copied ([`contents`]), except connections, and what a start writes anyway.
//! 2. The connections of the former flow table are imported ([`passes`]).
//! 3. Pins of the previous layout become this one's, by the name of their directory. A word is set that makes
//!    programs drop packets of unknown connections instead of resetting them, and one interface after the
//!    other that has a program gets the new one.
//! 4. Connections that were opened meanwhile, or have got further, are imported. The former pins, and those
//!    of maps that this version does not have, are removed, and last the word is cleared.
//!
//! Until the word is set, nothing has happened that the next start does not undo; until the pins are this
//! layout's, a start of the previous version does so, too. Once it is set, a start goes on where a killed
//! daemon was, as everything may be repeated.
//!
//! Maps of the previous layout are told from this one's by name and shape, so one whose values get another
//! meaning gets another name. If that is the flow table, [`passes`] is where its entries are read, and ids
//! of this layout given.

mod aside;
mod cause;
mod contents;
mod fits;
mod gone;
mod passes;
mod replaced;

use std::{path::Path, sync::Arc, thread::sleep, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, Map, MapData},
    programs::Xdp,
};
use lb_common::flow::ticks;

pub(super) use self::aside::set_aside;
use self::passes::{FormerTable, Round};
pub use self::passes::{connections, import};
use super::{
    Dataplane, FLOWS,
    clock::coarse_nanos,
    flows::{FlowTable, TablePlan},
    layouts::directory,
    pins::{Pins, unpin},
};

/// Name of the program that imports connections.
pub(super) const PROGRAM: &str = "import";

/// Map of the word that is set while interfaces may have programs with different tables.
pub(super) const MIGRATING: &str = "MIGRATING";

/// Longer than a packet is on its way through a program that was just replaced.
const IN_FLIGHT: Duration = Duration::from_millis(10);

/// A migration that has been prepared: the maps are there, and hold all but connections.
pub(super) struct Migration {
    /// None if the flow table stays.
    table: Option<FormerTable>,
    /// Names of pinned maps that the object does not have.
    gone: Vec<String>,
}

impl Migration {
    /// Prepares the migration to the maps of a loaded object. Returns None if they are the former ones.
    pub(super) fn prepare(
        pins: &Pins,
        ebpf: &mut Ebpf,
        new: &Arc<FlowTable>,
    ) -> Result<Option<Self>> {
        let mut gone = pins.maps()?;
        gone.retain(|name| ebpf.map(name).is_none());
        if pins.formers()?.is_empty() && gone.is_empty() && !pins.are_previous() {
            return Ok(None);
        }
        // Otherwise programs use the new maps.
        if !is_under_way(&pins.map(MIGRATING))? {
            contents::copy(pins, ebpf)?;
        }
        let former = TablePlan::of_pin(&pins.former(FLOWS))?;
        let table =
            former.map(|plan| FormerTable::open(&plan, pins, ebpf, Arc::clone(new))).transpose()?;
        Ok(Some(Self { table, gone }))
    }
}

impl Dataplane {
    /// Moves connections to the new maps, and gives all interfaces that have a program of an earlier daemon
    /// the new one. If nothing has to be moved, the interfaces stay as they are.
    pub fn migrate(&mut self) -> Result<()> {
        if let Some(Migration { table, gone }) = self.migration.take() {
            self.switch_over(table)?;
            contents::keep_counts(&self.pins)?;
            aside::remove(&self.pins)?;
            gone.iter().try_for_each(|name| unpin(&self.pins.map(name)))?;
        }
        self.set_migrating(0)
    }

    fn switch_over(&mut self, mut table: Option<FormerTable>) -> Result<()> {
        let room = self.flows.connections();
        match &mut table {
            Some(table) => {
                log::info!("moving {} connections to a flow table for {room}", table.count());
                table.pass(importer(&self.ebpf)?, Round::First)?;
            }
            None => log::info!(
                "other maps than the flow table have changed, by `limits.services`, `limits.backends`, \
                 `limits.accounting` or an upgrade: connections stay in their flow table"
            ),
        }
        if self.pins.are_previous() {
            self.pins.take_over()?;
            log::info!("took over the pins of the previous version");
        }
        let since = self.begin_migrating()?;
        // All of them, whatever the configuration says: an interface that cannot be attached to must not
        // leave others with different tables.
        for ifindex in self.pins.links()? {
            self.replace_program(ifindex)?;
        }
        sleep(IN_FLIGHT);
        if let Some(table) = &mut table {
            table.remove_ended(since);
            let tally = table.pass(importer(&self.ebpf)?, Round::Last)?;
            log::info!("{tally}");
        }
        Ok(())
    }

    /// Tells the programs that interfaces may have different tables from now on. Returns since when, in
    /// [`ticks`]: an earlier daemon may have told them.
    fn begin_migrating(&mut self) -> Result<u32> {
        let word: Array<_, u64> = self.map_mut(MIGRATING)?.try_into()?;
        let mut since =
            word.get(&0, 0).context("cannot read since when a migration is under way")?;
        if since == 0 {
            since = coarse_nanos();
            self.set_migrating(since)?;
        }
        Ok(ticks::from_nanos(since))
    }

    /// Sets the time since when a migration is under way, in nanoseconds of the monotonic clock; 0: none is.
    fn set_migrating(&mut self, since: u64) -> Result<()> {
        let mut word: Array<_, u64> = self.map_mut(MIGRATING)?.try_into()?;
        word.set(0, since, 0).context("cannot tell the programs of a migration")
    }
}

/// Returns true if a daemon was killed in the middle of a migration, and no other one goes on with it.
///
/// # Errors
///
/// If the pins may not be seen, as by others than root.
pub fn is_migration_interrupted(bpffs: &Path) -> Result<bool> {
    let directory = directory(bpffs);
    let pin = directory.join(MIGRATING);
    let is_pinned =
        pin.try_exists().with_context(|| format!("cannot look for {}", pin.display()))?;
    if !is_pinned || !is_under_way(&pin)? {
        return Ok(false);
    }
    // A daemon that is at it holds the pins. They are locked for a moment, and only if there may be none.
    Ok(Pins::lock(directory)?.is_some())
}

/// Returns true if interfaces may have programs with different tables.
fn is_under_way(pin: &Path) -> Result<bool> {
    let Some(map) = pinned(pin)? else { return Ok(false) };
    let word: Array<_, u64> = map.try_into()?;
    Ok(word.get(&0, 0).context("cannot read whether a migration is under way")? != 0)
}

/// Opens a pinned array, if it is there.
fn pinned(pin: &Path) -> Result<Option<Map>> {
    if !pin.exists() {
        return Ok(None);
    }
    let data = MapData::from_pin(pin)
        .with_context(|| format!("cannot open the pinned map {}", pin.display()))?;
    Ok(Some(Map::Array(data)))
}

fn importer(ebpf: &Ebpf) -> Result<&Xdp> {
    let program = ebpf.program(PROGRAM).context("the object has no program that imports")?;
    Ok(program.try_into()?)
}
