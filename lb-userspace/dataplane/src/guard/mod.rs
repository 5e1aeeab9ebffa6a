//! The host guard: a tc program that keeps the balancer's TCP packets from the host's stack.

mod clsact;
mod index;
mod maps;
mod tcx;

use std::env;

use anyhow::{Context as _, Result};
use aya::programs::SchedClassifier;
use lb_common::limits;
use lb_model::{Limits, views::GuardHook};
use nix::net::if_::if_indextoname;

pub(super) use self::index::Index;
use super::{Dataplane, pins::Pins};

/// Name of the tc program in its object, and of the kernel's filters.
pub const PROGRAM: &str = "xdplb_guard";

pub(super) const GUARDED: &str = "GUARD_ADDRESSES";
pub(super) const BACKENDS: &str = "GUARD_BACKENDS";

/// Maps of the guard, separate for each loaded guard.
pub(super) const MAPS: [&str; 2] = [GUARDED, BACKENDS];

/// Environment variable that selects the hook in tests: `clsact` makes a new kernel behave like an
/// old one.
const HOOK: &str = "XDPLB_GUARD_HOOK";

/// Handling of a guard that is already attached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Present {
    Stays,
    IsReplaced,
}

/// Returns the names and sizes of the guard's maps.
pub(super) fn sizes(limits: &Limits) -> [(&'static str, u32); 2] {
    let addresses = limits.services + limits::SNAT_SOURCES;
    [(GUARDED, addresses), (BACKENDS, limits.backends + limits::FIRST_BACKEND)]
}

/// Detaches the guard from an interface, if it is attached.
pub(super) fn remove(pins: &Pins, ifindex: u32) -> Result<()> {
    tcx::remove(&pins.guard(ifindex))?;
    clsact::remove(&pins.filter(ifindex), ifindex)
}

impl Dataplane {
    /// Attaches the guard to an interface; returns its hook.
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

    fn guard_program(&mut self) -> Result<&mut SchedClassifier> {
        let program = self.ebpf.program_mut(PROGRAM).context("the object has no host guard")?;
        Ok(program.try_into()?)
    }
}

fn is_clsact_asked_for() -> bool {
    env::var_os(HOOK).is_some_and(|hook| hook == "clsact")
}

/// Returns the name of an interface, as aya takes no index.
fn name(ifindex: u32) -> Result<String> {
    let name =
        if_indextoname(ifindex).with_context(|| format!("there is no interface {ifindex}"))?;
    Ok(name.into_string()?)
}
