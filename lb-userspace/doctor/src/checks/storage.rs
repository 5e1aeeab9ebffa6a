//! Faults of the daemon's directories.

use std::path::Display;

use crate::{
    check::{Check, Find},
    facts::{Site, StateDirectory},
    report::{Cases, Severity},
};

use super::some_of;

/// Space that changes need for a while, in bytes.
const SPACE: u64 = 16 << 20;

/// Permission bits of everybody except the owner.
const OTHERS: u32 = 0o077;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "bpffs-missing",
        severity: Severity::Problem,
        meaning: "No BPF file system is mounted at `bpffs`, where programs and maps are pinned.",
        find: Find::OnSite(bpffs),
    },
    Check {
        id: "state-dir-unusable",
        severity: Severity::Problem,
        meaning: "`state_dir` is not a directory, cannot be written, or belongs to another user.",
        find: Find::OnSite(unusable),
    },
    Check {
        id: "state-dir-open",
        severity: Severity::Warning,
        meaning: "Other users can read or change `state_dir`, which holds passwords of checks.",
        find: Find::OnSite(open),
    },
    Check {
        id: "state-dir-full",
        severity: Severity::Problem,
        meaning: "The file system of `state_dir` is almost full, and changes will be refused.",
        find: Find::OnSite(full),
    },
    Check {
        id: "journal-loss",
        severity: Severity::Warning,
        meaning: "The journal has lost changes.",
        find: Find::OnSite(loss),
    },
];

fn bpffs(site: &Site, cases: &mut Cases<'_>) {
    let shown = site.config.bpffs.display();
    if cases.seen(&shown, &site.storage.is_bpffs) == Some(&false) {
        let message = "no BPF file system is mounted there: nothing can be pinned";
        cases.add(&shown, message, format!("mkdir -p {shown} && mount -t bpf bpf {shown}"));
    }
}

/// Returns the state directory and its path, if there is one.
fn state<'a>(site: &'a Site, cases: &mut Cases<'_>) -> Option<(Display<'a>, &'a StateDirectory)> {
    let shown = site.config.state_dir.display();
    let found = cases.seen(&shown, &site.storage.state)?.as_ref()?;
    Some((shown, found))
}

fn unusable(site: &Site, cases: &mut Cases<'_>) {
    let Some((shown, found)) = state(site, cases) else { return };
    if !found.is_directory {
        let fix = format!("rm {shown} && mkdir -m 700 {shown}");
        cases.add(&shown, "it is not a directory", fix);
    } else if found.is_read_only {
        let fix = format!("mount -o remount,rw \"$(findmnt -no TARGET -T {shown})\"");
        cases.add(&shown, "its file system is mounted read-only", fix);
    } else if let Some(wanted) = &found.wanted_owner {
        let message =
            format!("it belongs to another user (uid {}): the daemon refuses it", found.owner);
        cases.add(&shown, message, format!("chown -R {wanted}: {shown}"));
    }
}

fn open(site: &Site, cases: &mut Cases<'_>) {
    let Some((shown, found)) = state(site, cases) else { return };
    if found.is_directory && found.mode & OTHERS != 0 {
        let message = format!("other users have access to it (mode {:o})", found.mode);
        cases.add(&shown, message, format!("chmod 700 {shown}"));
    }
}

fn full(site: &Site, cases: &mut Cases<'_>) {
    let Some((shown, found)) = state(site, cases) else { return };
    if found.free < SPACE && !found.is_read_only {
        let message = format!("{} KiB are free: changes will be refused", found.free >> 10);
        let fix =
            format!("make room: du -xh \"$(findmnt -no TARGET -T {shown})\" | sort -h | tail");
        cases.add(&shown, message, fix);
    }
}

fn loss(site: &Site, cases: &mut Cases<'_>) {
    let directory = site.config.state_dir.display();
    let Some(losses) = cases.seen(&directory, &site.storage.losses) else { return };
    if losses.is_empty() {
        return;
    }
    let shown: Vec<_> = losses.iter().map(|path| path.display().to_string()).collect();
    let message = format!("the journal has lost changes, as described in {}", some_of(&shown));
    let fix = format!("make them again: xdplb history; then rm {}", shown.join(" "));
    cases.add(&directory, message, fix);
}
