//! The host guard: a tc program that keeps TCP which is the balancer's alone from the host's stack.

mod clsact;
mod index;
mod tcx;

use std::{collections::BTreeSet, env};

use anyhow::{Context as _, Result};
use aya::{maps::HashMap, programs::SchedClassifier};
use lb_common::{guard::Guarded, limits, service::ServiceKey, snat::Source};
use nix::net::if_::if_indextoname;

use self::index::Change;
pub(super) use self::index::Index;
use super::{Dataplane, gone, pins::Pins};
use crate::{
    config::Limits,
    control::GuardHook,
    plan::{Image, Op},
};

/// The name of the tc program in its object, which the kernel's filters have, too.
pub const PROGRAM: &str = "xdplb_guard";

const GUARDED: &str = "GUARD_ADDRESSES";
const BACKENDS: &str = "GUARD_BACKENDS";

/// The guard's maps, which each loaded guard has for itself.
pub(super) const MAPS: [&str; 2] = [GUARDED, BACKENDS];

/// What chooses the hook in tests: `clsact` has a new kernel do as an old one must.
const HOOK: &str = "XDPLB_GUARD_HOOK";

/// Whether the present guard stays if it is on an interface already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Present {
    Stays,
    IsReplaced,
}

/// Names of the guard's maps and their sizes.
pub(super) fn sizes(limits: &Limits) -> [(&'static str, u32); 2] {
    let addresses = limits.services + limits::SNAT_SOURCES;
    [(GUARDED, addresses), (BACKENDS, limits.backends + limits::FIRST_BACKEND)]
}

/// Takes the guard off an interface, be it on it or not.
pub(super) fn remove(pins: &Pins, ifindex: u32) -> Result<()> {
    tcx::remove(&pins.guard(ifindex))?;
    clsact::remove(&pins.filter(ifindex), ifindex)
}

impl Dataplane {
    /// Has the guard on an interface; returns how it is attached.
    pub fn guard(&mut self, ifindex: u32, present: Present) -> Result<GuardHook> {
        let (link, filter) = (self.pins.guard(ifindex), self.pins.filter(ifindex));
        let program = self.guard_program()?;
        if !is_clsact_asked_for() && tcx::attach(program, ifindex, &link)? {
            clsact::remove(&filter, ifindex)?;
            return Ok(GuardHook::Tcx);
        }
        clsact::attach(program, ifindex, &filter, present)?;
        tcx::remove(&link)?;
        Ok(GuardHook::Clsact)
    }

    /// Has the guard know what the maps hold.
    pub(super) fn guard_image(&mut self, image: &Image) -> Result<()> {
        let mut index = Index::default();
        for key in image.services.keys() {
            index.set_service(key);
        }
        for (id, backend) in &image.backends {
            index.set_backend(*id, backend);
        }
        for source in self.all_sources()? {
            index.set_source(&source);
        }
        self.write_all(&index)?;
        self.guarded = index;
        Ok(())
    }

    /// Has the guard follow an operation.
    pub(super) fn guard_op(&mut self, op: &Op) -> Result<()> {
        let index = &mut self.guarded;
        let changes = match op {
            Op::SetSource { source, .. } => [index.set_source(source), None],
            Op::SetBackend { id, backend } => index.set_backend(*id, backend),
            Op::ClearBackend { id } => [index.clear_backend(*id), None],
            Op::SetService { key, .. } => [index.set_service(key), None],
            Op::RemoveService { key } => [index.remove_service(key), None],
            Op::WriteSlots { .. } => [None; 2],
        };
        changes.into_iter().flatten().try_for_each(|change| self.write_guard(change))
    }

    fn write_guard(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Address(address, guarded) => {
                self.guard_addresses()?.insert(address, guarded, 0)
            }
            Change::ForgetAddress(address) => gone(self.guard_addresses()?.remove(&address)),
            Change::Backend(key) => self.guard_backends()?.insert(key, 0, 0),
            Change::ForgetBackend(key) => gone(self.guard_backends()?.remove(&key)),
        }
        .context("cannot write to the host guard's maps")
    }

    /// Makes the guard's maps what an index says, whatever they hold.
    fn write_all(&mut self, index: &Index) -> Result<()> {
        let (addresses, backends) = (index.addresses(), index.backends());
        let mut map = self.guard_addresses()?;
        let known: BTreeSet<[u8; 16]> = map.keys().collect::<Result<_, _>>()?;
        addresses.iter().try_for_each(|(address, guarded)| map.insert(address, guarded, 0))?;
        known
            .iter()
            .filter(|one| !addresses.contains_key(*one))
            .try_for_each(|one| map.remove(one))?;
        let mut map = self.guard_backends()?;
        let known: BTreeSet<ServiceKey> = map.keys().collect::<Result<_, _>>()?;
        backends.difference(&known).try_for_each(|key| map.insert(key, 0, 0))?;
        known.difference(&backends).try_for_each(|key| map.remove(key))?;
        Ok(())
    }

    /// All sources that there have ever been, as connections may still come from them.
    fn all_sources(&self) -> Result<Vec<Source>> {
        let sources: aya::maps::Array<_, Source> = self.map(super::SNAT_SOURCES)?.try_into()?;
        Ok(sources.iter().collect::<Result<_, _>>()?)
    }

    fn guard_addresses(&mut self) -> Result<HashMap<&mut aya::maps::MapData, [u8; 16], Guarded>> {
        Ok(self.map_mut(GUARDED)?.try_into()?)
    }

    fn guard_backends(&mut self) -> Result<HashMap<&mut aya::maps::MapData, ServiceKey, u32>> {
        Ok(self.map_mut(BACKENDS)?.try_into()?)
    }

    fn guard_program(&mut self) -> Result<&mut SchedClassifier> {
        let program = self.ebpf.program_mut(PROGRAM).context("the object has no host guard")?;
        Ok(program.try_into()?)
    }
}

fn is_clsact_asked_for() -> bool {
    env::var_os(HOOK).is_some_and(|hook| hook == "clsact")
}

/// The name that aya asks for where the kernel asks for an index.
fn name(ifindex: u32) -> Result<String> {
    let name =
        if_indextoname(ifindex).with_context(|| format!("there is no interface {ifindex}"))?;
    Ok(name.into_string()?)
}
