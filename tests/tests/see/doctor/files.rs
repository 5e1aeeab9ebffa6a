//! Faults of the daemon's directories.

use super::bed::Bed;

#[test]
#[ignore = "needs root"]
fn a_bpf_file_system_that_is_not_mounted() {
    let bed = Bed::new();
    let directory = bed.path("bpf-elsewhere");
    bed.set(&format!("bpffs = \"{directory}\""));
    let fix = format!("mkdir -p {directory} && mount -t bpf bpf {directory}");
    bed.cure(&bed.expect("bpffs-missing", &directory, &fix));
    bed.run(&format!("umount {directory}"));
}

#[test]
#[ignore = "needs root"]
fn a_state_directory_that_is_a_file() {
    let bed = Bed::new();
    let state = bed.path("state");
    bed.run(&format!("touch {state}"));
    let fix = format!("rm {state} && mkdir -m 700 {state}");
    bed.cure(&bed.expect("state-dir-unusable", &state, &fix));
}

#[test]
#[ignore = "needs root"]
fn a_state_directory_of_another_user() {
    let bed = Bed::new();
    let state = bed.path("state");
    bed.run(&format!("mkdir -m 700 {state} && chown 65534 {state}"));
    bed.cure(&bed.expect("state-dir-unusable", &state, "chown -R "));
}

#[test]
#[ignore = "needs root"]
fn a_state_directory_that_is_read_only() {
    let bed = Bed::new();
    let state = bed.path("state");
    bed.run(&format!("mkdir {state} && mount -t tmpfs -o ro,mode=700 tmpfs {state}"));
    bed.cure(&bed.expect("state-dir-unusable", &state, "mount -o remount,rw "));
    bed.run(&format!("umount {state}"));
}

#[test]
#[ignore = "needs root"]
fn a_state_directory_that_others_can_read() {
    let bed = Bed::new();
    let state = bed.path("state");
    bed.run(&format!("mkdir -m 755 {state}"));
    bed.cure(&bed.expect("state-dir-open", &state, &format!("chmod 700 {state}")));
}

#[test]
#[ignore = "needs root"]
fn a_state_directory_without_space() {
    let bed = Bed::new();
    let state = bed.path("state");
    bed.run(&format!("mkdir {state} && mount -t tmpfs -o size=1m,mode=700 tmpfs {state}"));
    bed.expect("state-dir-full", &state, "make room: du -xh ");
    bed.run(&format!("mount -o remount,size=64m {state}"));
    bed.is_healthy();
    bed.run(&format!("umount {state}"));
}

#[test]
#[ignore = "needs root"]
fn a_journal_that_has_lost_changes() {
    let bed = Bed::new();
    let state = bed.path("state");
    bed.run(&format!("mkdir -m 700 {state} && touch {state}/journal.lost.7"));
    let fix = format!("make them again: xdplb history; then rm {state}/journal.lost.7");
    let found = bed.expect("journal-loss", &state, &fix);
    let (_, removal) = found.fix.split_once("; then ").expect("a command");
    bed.run(removal);
    bed.is_healthy();
}
