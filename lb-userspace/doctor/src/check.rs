//! A check, and the list of all.

use super::{
    checks::{
        backends, daemon, interfaces, machine, queues, sources, storage, traffic, veth, vips, xdp,
    },
    facts::{Daemon, Machine, Running, Site, UsualFile},
    report::{Cases, Severity},
};

/// A fault that is looked for.
#[derive(Debug)]
pub struct Check {
    /// Stable, for scripts.
    pub id: &'static str,
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub meaning: &'static str,
    pub(crate) find: Find,
}

/// How a fault is found, by what must be known.
#[derive(Debug)]
pub(crate) enum Find {
    OnMachine(fn(&Machine, &mut Cases<'_>)),
    /// Needs a configuration.
    OnSite(fn(&Site, &mut Cases<'_>)),
    OfUsualFile(fn(&UsualFile, &mut Cases<'_>)),
    OfDaemon(fn(&Daemon, &mut Cases<'_>)),
    /// Needs a daemon that answers.
    InRunning(fn(&Running, &mut Cases<'_>)),
}

/// Checks of one subject.
#[derive(Debug)]
pub struct Group {
    pub title: &'static str,
    pub checks: &'static [Check],
}

/// All checks.
pub const GROUPS: &[Group] = &[
    Group { title: "Host", checks: machine::CHECKS },
    Group { title: "Interfaces", checks: interfaces::CHECKS },
    Group { title: "XDP", checks: xdp::CHECKS },
    Group { title: "Veth pairs", checks: veth::CHECKS },
    Group { title: "Queues of network cards", checks: queues::CHECKS },
    Group { title: "Addresses of services", checks: vips::CHECKS },
    Group { title: "Source addresses and ports", checks: sources::CHECKS },
    Group { title: "Backends", checks: backends::CHECKS },
    Group { title: "Files", checks: storage::CHECKS },
    Group { title: "Daemon", checks: daemon::CHECKS },
    Group { title: "Traffic", checks: traffic::CHECKS },
];

/// Returns all checks.
pub fn all() -> impl Iterator<Item = &'static Check> {
    GROUPS.iter().flat_map(|group| group.checks)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_in_kebab_case() {
        let mut known = HashSet::new();
        for Check { id, meaning, .. } in all() {
            assert!(known.insert(id), "{id}");
            assert!(id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{id}");
            assert!(meaning.ends_with('.') && !meaning.contains(". "), "{meaning}");
        }
    }
}
