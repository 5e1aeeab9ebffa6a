//! Why pinned maps do not fit.

use std::fmt;

use anyhow::{Context as _, Result};

use super::replaced::Replaced;
use crate::{active::possible_cpus, flows::ACCOUNTS, sizes::LimitChange};

/// What makes a start replace pinned maps.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    Limit(LimitChange),
    /// `limits.accounting`.
    Accounting,
    /// Another version of xdplb has made this map.
    Version(Replaced),
}

impl Cause {
    /// Returns the cause for replacing these maps: a limit if the size of one of them is that of a limit.
    pub(super) fn of(replaced: &[Replaced]) -> Result<Self> {
        let cpus = possible_cpus()?;
        let behind = |one: &Replaced| LimitChange::behind(&one.name, one.found, one.expected, cpus);
        if let Some(change) = replaced.iter().find_map(behind) {
            return Ok(Self::Limit(change));
        }
        if replaced.iter().all(|one| one.name == ACCOUNTS) {
            return Ok(Self::Accounting);
        }
        replaced.first().cloned().map(Self::Version).context("no map is replaced")
    }

    /// Returns what the operator does to keep the pinned maps.
    pub(super) fn way_back(&self) -> String {
        match self {
            Self::Limit(change) => change.way_back(),
            Self::Accounting => "set it back".to_owned(),
            Self::Version(_) => "start that version again".to_owned(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(change) => change.fmt(f),
            Self::Accounting => f.write_str("`limits.accounting` has changed"),
            Self::Version(Replaced { name, .. }) => {
                write!(f, "the pinned map {name} was made by another version of xdplb")
            }
        }
    }
}
