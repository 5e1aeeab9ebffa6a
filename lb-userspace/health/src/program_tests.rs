//! Programs of checks: their rights, and that they end.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use lb_model::{CheckRequest, Health, HealthCheck, Probe};
use nix::unistd::geteuid;
use tempfile::TempDir;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Checker, Target,
    probe_tests::{Once, assert_tells, check, prober},
};
use lb_host::accounts;

const USER: &str = "nobody";

/// Creates a directory that the programs may write to.
fn directory() -> TempDir {
    assert!(geteuid().is_root(), "programs run as another user, which takes root");
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    directory
}

fn request(script: &str) -> CheckRequest {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    CheckRequest { command: Some(command), ..CheckRequest::default() }
}

fn run(script: &str) -> Once {
    prober(Probe::Exec, request(script))
}

async fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} must come soon");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Returns true if the process whose id is in this file is running.
fn runs(file: &PathBuf) -> bool {
    let pid = fs::read_to_string(file).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

#[tokio::test]
#[ignore = "needs root"]
async fn programs_are_judged_by_how_they_end_and_killed_in_time() {
    let directory = directory();
    let at = "10.0.0.11:80".parse().unwrap();
    let told = "test $XDPLB_ADDRESS:$XDPLB_PORT = 10.0.0.11:80";
    assert_tells(&run(told).probe(at).await, true, "PROCOK");
    assert_tells(&run("exit 3").probe(at).await, false, "PROCERR exit status: 3");
    let child = directory.path().join("child");
    let late = format!("sleep 60 & echo $! > {}; sleep 60", child.display());
    assert_tells(&run(&late).probe(at).await, false, "PROCTOUT no result after 300ms");
    wait_for("the end of the program's child", || !runs(&child)).await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn the_last_line_of_a_programs_output_is_shown() {
    let at = "10.0.0.11:80".parse().unwrap();
    let long = "x".repeat(500);
    for (script, told) in [
        ("echo first >&2; echo 'no: such' >&2; echo; exit 2", "PROCERR exit status: 2: no: such"),
        ("echo error >&2; echo output; exit 2", "PROCERR exit status: 2: output"),
        ("echo 'OK - 5 users'", "PROCOK exit status 0: OK - 5 users"),
        ("seq 100000; exit 1", "PROCERR exit status: 1: 100000"),
        ("printf '\\033[2J' >&2; exit 1", "PROCERR exit status: 1: \\u{1b}[2J"),
        ("echo slow >&2; sleep 60", "PROCTOUT no result after 300ms: slow"),
        ("exit 1", "PROCERR exit status: 1"),
        (
            &format!("echo {long} >&2; exit 1"),
            &format!("PROCERR exit status: 1: {}…", &long[..160]),
        ),
        // A program with much output does not block.
        ("head -c 1000000 /dev/zero >&2; echo >&2", "PROCOK exit status 0"),
        // One whose output never ends is not read for long.
        ("exec yes", "PROCERR signal: 13 (SIGPIPE): y"),
        ("setsid sleep 1 & echo gone >&2; exit 1", "PROCERR exit status: 1: gone"),
    ] {
        assert_eq!(run(script).probe(at).await.detail, told, "{script}");
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn what_a_program_leaves_behind_ends_with_it() {
    let directory = directory();
    let child = directory.path().join("child");
    for (end, success) in [("exit 0", true), ("exit 1", false), ("kill -9 $$", false)] {
        let script = format!("trap '' TERM HUP; sleep 60 & echo $! > {}; {end}", child.display());
        let outcome = run(&script).probe("10.0.0.11:80".parse().unwrap()).await;
        assert_eq!(outcome.success, Some(success), "{outcome:?}");
        wait_for("the end of the program's child", || !runs(&child)).await;
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_program_that_nobody_waits_for_is_killed_with_its_children() {
    let directory = directory();
    let child = directory.path().join("child");
    let request = request(&format!("sleep 60 & echo $! > {}; wait", child.display()));
    let timeout = Duration::from_mins(1);
    let interval = timeout;
    let check = HealthCheck { interval, timeout, ..check(Probe::Exec, request) };
    let address = "10.0.0.11:80".parse().unwrap();
    let (service, initial) = ("web".to_owned(), Health::Unknown);
    let (events, _received) = mpsc::channel(8);
    let mut checker = Checker::new(events, USER);
    checker.set_service("web", vec![Target { service, address, check, initial }]);
    let is_begun = || fs::read_to_string(&child).is_ok_and(|text| text.ends_with('\n'));
    wait_for("the program's child", is_begun).await;
    assert!(runs(&child));
    checker.remove_service("web");
    wait_for("the end of the program's child", || !runs(&child)).await;
}

/// Checks a program's whole environment, rights and files.
#[tokio::test]
#[ignore = "needs root"]
async fn a_program_has_no_rights_no_files_and_no_environment() {
    let directory = directory();
    let (environment, status, files) = (
        directory.path().join("environment"),
        directory.path().join("status"),
        directory.path().join("files"),
    );
    // A file descriptor leaked by a library or the parent.
    let open = fs::File::open("/etc/shadow").unwrap();
    // A capability passed on by a service manager.
    caps::raise(None, caps::CapSet::Inheritable, caps::Capability::CAP_NET_ADMIN).unwrap();
    nix::fcntl::fcntl(&open, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let script = format!(
        "cat /proc/self/environ > {}; cat /proc/self/status > {}; ls /proc/$$/fd > {}; \
         test \"$PWD\" = / && ! cat /etc/shadow",
        environment.display(),
        status.display(),
        files.display()
    );
    let outcome = run(&script).probe("10.0.0.11:80".parse().unwrap()).await;
    assert_tells(&outcome, true, "PROCOK");
    let environment = fs::read_to_string(environment).unwrap();
    let mut names: Vec<_> =
        environment.split_terminator('\0').filter_map(|pair| pair.split('=').next()).collect();
    names.sort_unstable();
    // The shell adds its working directory.
    names.retain(|name| *name != "PWD");
    assert_eq!(names, ["PATH", "XDPLB_ADDRESS", "XDPLB_PORT"], "{environment}");
    let status = fs::read_to_string(status).unwrap();
    let line = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let account = accounts::account(USER).unwrap();
    assert_eq!(line("Uid:"), [account.uid.to_string().as_str(); 4].join(" "));
    assert_eq!(line("Gid:"), [account.gid.to_string().as_str(); 4].join(" "));
    assert_eq!(line("Groups:"), "");
    assert_eq!(line("NoNewPrivs:"), "1");
    for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:", "CapBnd:"] {
        assert_eq!(line(capabilities), "0000000000000000", "{capabilities}");
    }
    // The shell's own files start at 10.
    let files = fs::read_to_string(files).unwrap();
    let files: Vec<_> = files.lines().filter(|number| number.len() == 1).collect();
    assert_eq!(files, ["0", "1", "2"]);
}

#[tokio::test]
async fn a_program_that_cannot_be_run_says_nothing_of_the_backend() {
    let at = "10.0.0.11:80".parse().unwrap();
    let command = Some(vec!["/nowhere".to_owned()]);
    let nowhere = CheckRequest { command, ..CheckRequest::default() };
    let outcome = prober(Probe::Exec, nowhere).probe(at).await;
    assert_eq!(outcome.success, None, "{outcome:?}");
    assert!(outcome.detail.starts_with("PROCERR /nowhere cannot be run as nobody"), "{outcome:?}");
    for (user, word) in [("nobody-at-all", "there is no user"), ("root", "has root's privileges")] {
        let prober = super::Prober::new(check(Probe::Exec, request("true")), user.into());
        let prober = std::sync::Arc::new(prober);
        let outcome = prober.probe(at, &super::Slots::new()).await;
        assert!(outcome.success.is_none() && outcome.detail.contains(word), "{outcome:?}");
    }
}
