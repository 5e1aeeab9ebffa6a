//! Faults of the daemon's directories.

use std::path::{Display, Path};

use lb_host::printable;

use crate::{
    check::{Check, Find},
    facts::{Site, StateDirectory, USUAL_FILE, UsualFile},
    report::{Cases, Severity},
};

use super::some_of;

/// Space that changes need for a while, in bytes.
const SPACE: u64 = 16 << 20;

/// Permission bits of everybody except the owner.
const OTHERS: u32 = 0o077;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "usual-file-invalid",
        severity: Severity::Problem,
        meaning: "There is no daemon to ask, and `/etc/xdplb/xdplb.toml` is invalid.",
        find: Find::OfUsualFile(usual_file),
    },
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

fn usual_file(file: &UsualFile, cases: &mut Cases<'_>) {
    match file {
        UsualFile::Fine => {}
        UsualFile::Hidden(reason) => {
            cases.skip(
                USUAL_FILE,
                &format!("it cannot be read, so only the host is checked: {reason}"),
            );
        }
        UsualFile::Invalid(fault) => {
            let message = format!("it is invalid, so only the host is checked: {fault}");
            cases.add(USUAL_FILE, message, format!("xdplb check -c {USUAL_FILE} names all faults"));
        }
    }
}

fn bpffs(site: &Site, cases: &mut Cases<'_>) {
    let shown = site.config.bpffs.display();
    if cases.seen(&shown, &site.storage.is_bpffs) == Some(&false) {
        let message = "no BPF file system is mounted there: nothing can be pinned";
        let word = word(&site.config.bpffs);
        cases.add(&shown, message, format!("mkdir -p {word} && mount -t bpf bpf {word}"));
    }
}

/// Returns a path for a shell.
fn word(path: &Path) -> String {
    printable::word(&path.to_string_lossy()).into_owned()
}

/// Returns the state directory and its path, if there is one.
fn state<'a>(site: &'a Site, cases: &mut Cases<'_>) -> Option<(Display<'a>, &'a StateDirectory)> {
    let shown = site.config.state_dir.display();
    let found = cases.seen(&shown, &site.storage.state)?.as_ref()?;
    Some((shown, found))
}

fn unusable(site: &Site, cases: &mut Cases<'_>) {
    let Some((shown, found)) = state(site, cases) else { return };
    let word = word(&site.config.state_dir);
    if !found.is_directory {
        let fix = format!("rm {word} && mkdir -m 700 {word}");
        cases.add(&shown, "it is not a directory", fix);
    } else if found.is_read_only {
        let fix = format!("mount -o remount,rw \"$(findmnt -no TARGET -T {word})\"");
        cases.add(&shown, "its file system is mounted read-only", fix);
    } else if let Some(wanted) = &found.wanted_owner {
        let message =
            format!("it belongs to another user (uid {}): the daemon refuses it", found.owner);
        cases.add(&shown, message, format!("chown -R {wanted}: {word}"));
    }
}

fn open(site: &Site, cases: &mut Cases<'_>) {
    let Some((shown, found)) = state(site, cases) else { return };
    let word = word(&site.config.state_dir);
    if found.is_directory && found.mode & OTHERS != 0 {
        let message = format!("other users have access to it (mode {:o})", found.mode);
        cases.add(&shown, message, format!("chmod 700 {word}"));
    }
}

fn full(site: &Site, cases: &mut Cases<'_>) {
    let Some((shown, found)) = state(site, cases) else { return };
    let word = word(&site.config.state_dir);
    if found.free < SPACE && !found.is_read_only {
        let message = format!("{} KiB are free: changes will be refused", found.free >> 10);
        let fix = format!("make room: du -xh \"$(findmnt -no TARGET -T {word})\" | sort -h | tail");
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
    let words: Vec<_> = losses.iter().map(|path| word(path)).collect();
    let fix = format!("make them again: xdplb history; then rm {}", words.join(" "));
    cases.add(&directory, message, fix);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checks::made, report::found};

    #[test]
    fn an_unusable_usual_file_ends_nothing() {
        assert!(found(&UsualFile::Fine, usual_file).is_empty());
        let invalid = found(&UsualFile::Invalid("unknown key".to_owned()), usual_file);
        assert!(invalid[0].message.ends_with(": unknown key"), "{invalid:?}");
        let hidden = found(&UsualFile::Hidden("permission denied".to_owned()), usual_file);
        assert_eq!((hidden[0].severity, &*hidden[0].subject), (Severity::NotChecked, USUAL_FILE));
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        let mut site = made::site();
        site.config.bpffs = "/tmp/a b;reboot".into();
        site.storage.is_bpffs = Ok(false);
        let fix = "mkdir -p '/tmp/a b;reboot' && mount -t bpf bpf '/tmp/a b;reboot'";
        assert_eq!(found(&site, bpffs)[0].fix, fix);
    }
}
