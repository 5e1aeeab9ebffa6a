//! The Debian package, installed and run with the rights that its unit gives.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
};

use lb_tests::{
    balancer::{BINARY, Balancer, configuration, service},
    requests,
    servers::nginx_everywhere,
};
use lb_userspace::bed::Bed;
use nix::sys::signal::Signal;

use crate::bed::{Arms, backend, empty_bed, vip};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debian/xdplb.deb");
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/xdplb.service");

/// Installs the package where nothing of it stays: over the root directory, in memory.
const INSTALL: &str = r#"set -e
mount -t tmpfs none "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/root"
mount -t overlay -o "lowerdir=/,upperdir=$PLACE/upper,workdir=$PLACE/work" none "$PLACE/root"
for shared in /proc /sys /dev "$BED" "$(dirname "$PACKAGE")"; do
    mkdir -p "$PLACE/root$shared"
    mount --rbind "$shared" "$PLACE/root$shared"
done
chroot "$PLACE/root" dpkg --install "$PACKAGE" >&2
test -f "$PLACE/root/usr/lib/systemd/system/xdplb.service"
man="$PLACE/root/usr/share/man"
test -f "$man/man1/xdplb-backend-drain.1" && test -f "$man/man5/xdplb.toml.5"
chroot "$PLACE/root" xdplb check -c /etc/xdplb/xdplb.toml >&2
"#;

const RUN: &str = r#"
exec chroot "$PLACE/root" setpriv --bounding-set "$RIGHTS" --inh-caps=-all --no-new-privs \
    --regid xdplb --clear-groups /usr/bin/xdplb "$@""#;

const REMOVE: &str = r#"
mount --bind "$BPFFS" "$PLACE/root/sys/fs/bpf"
chroot "$PLACE/root" dpkg --remove xdplb"#;

/// What the unit leaves of root's rights, as setpriv has it.
fn rights() -> String {
    let unit = fs::read_to_string(UNIT).expect("the unit");
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let names = line.expect("a set").split_whitespace();
    let names = names.map(|name| format!("+{}", name.trim_start_matches("CAP_").to_lowercase()));
    ["-all".to_owned()].into_iter().chain(names).collect::<Vec<_>>().join(",")
}

/// Installs the package, and then does something with it.
fn installed(bed: &Bed, then: &str) -> Command {
    let place = bed.directory().join("installed");
    fs::create_dir_all(&place).expect("a directory");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &[INSTALL, then].concat(), "sh"]).stdout(Stdio::null());
    command.env("PLACE", place).env("BED", bed.directory()).env("PACKAGE", PACKAGE);
    command.env("RIGHTS", rights()).env("BPFFS", bed.bpffs());
    command
}

/// How `xdplb status` ends for nobody, who is in this group.
fn status_of_nobody(socket: &Path, group: u32) -> Option<i32> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", &group.to_string(), "--clear-groups"]);
    command.args([BINARY, "status"]);
    let output = command.arg("--socket").arg(socket).output().expect("util-linux");
    output.status.code()
}

#[test]
#[ignore = "needs root"]
fn the_package_runs_with_its_units_rights_and_takes_its_program_along() {
    let bed = empty_bed(Arms::Two);
    let _servers = nginx_everywhere(&bed);
    let backends = [0, 1, 2].map(|nth| (backend(&bed, nth), 1));
    let text = configuration(&bed, "") + &service("web", vip(&bed), &backends);
    let balancer = Balancer::start_by(&bed, &text, installed(&bed, RUN));
    balancer.wait_for_ring_of(3);
    let answers = requests::send(&bed.clients()[0], vip(&bed), 30);
    assert!(answers.len() == 3 && answers.values().all(|count| *count == 10), "{answers:?}");

    let socket = fs::metadata(balancer.socket()).expect("a socket");
    assert_eq!(socket.mode() & 0o777, 0o660);
    assert_ne!(socket.gid(), 0);
    assert_eq!(status_of_nobody(balancer.socket(), socket.gid()), Some(0));
    assert_eq!(status_of_nobody(balancer.socket(), 65534), Some(1));
    balancer.stop(Signal::SIGTERM);

    let mut remove = installed(&bed, REMOVE);
    let removed = bed.balancer().spawn(&mut remove).expect("started").wait().expect("ends");
    assert!(removed.success());
    assert!(!bed.bpffs().join("xdplb").exists(), "packets still go by a program of nobody");
}

#[test]
#[ignore = "needs root"]
fn the_binary_needs_no_file_of_the_host() {
    let bed = empty_bed(Arms::One);
    fs::copy(BINARY, bed.directory().join("xdplb")).expect("a copy");
    let mut command = Command::new("chroot");
    let output = command.arg(bed.directory()).args(["/xdplb", "--version"]).output();
    let output = output.expect("coreutils");
    assert!(output.status.success(), "{output:?}");
}
