//! `xdplb trace`: live, in files, and what becomes of the program.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use lb_model::views::trace::TracedPacket;
use lb_testbed::Testbed;
use lb_tests::{
    balancer::Balancer,
    requests,
    site::{Site, backend, vip},
};
use nix::sys::signal::Signal;

use super::watched::{site, watched};

/// Starts a trace, and returns once it records.
fn trace(balancer: &Balancer, arguments: &[&str]) -> Child {
    let mut command = balancer.command(&[&["trace"], arguments].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("xdplb");
    let mut said = String::new();
    let errors = child.stderr.as_mut().expect("piped");
    BufReader::new(errors).read_line(&mut said).expect("text");
    assert!(said.starts_with("recording ("), "{said}");
    child
}

fn visit(testbed: &Testbed, count: u64) {
    let answers = requests::send(&testbed.clients()[0], vip(testbed), count);
    assert_eq!(answers.get(""), None, "{answers:?}");
}

#[test]
#[ignore = "needs root"]
fn packets_of_a_connection_are_told_from_both_sides() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let tracing =
        trace(&balancer, &["--reason", "forwarded,replied", "--count", "6", "-o", "json"]);
    visit(&testbed, 1);
    let output = tracing.wait_with_output().expect("ended");
    assert!(output.status.success());
    let packets: Vec<TracedPacket> = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("packets");
    let [syn, answer, ..] = packets.as_slice() else { panic!("{packets:?}") };
    assert_eq!(
        (packets.len(), syn.to, syn.service.as_deref()),
        (6, Some(vip(&testbed)), Some("web"))
    );
    let sent = syn.sent.as_ref().expect("forwarded");
    assert_eq!((Some(sent.to), Some(sent.from)), (answer.from, answer.to), "the answer to it");
    assert_eq!(answer.sent.as_ref().map(|sent| sent.to), syn.from, "back to its sender");
    assert_eq!(syn.backend, Some(sent.to));
    assert_eq!((syn.interface.as_str(), answer.interface.as_str()), ("eth0", "eth1"));
}

#[test]
#[ignore = "needs root"]
fn filters_leave_out_what_others_send() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let backend = backend(&testbed, 1).to_string();
    let client = "203.0.113.0/24";
    let tracing = trace(&balancer, &["--backend", &backend, "--client", client, "--count", "18"]);
    let elsewhere = trace_refused(&balancer);
    assert!(elsewhere.contains("another trace is running"), "{elsewhere}");
    visit(&testbed, 9);
    let output = tracing.wait_with_output().expect("ended");
    let lines = String::from_utf8(output.stdout).expect("text");
    assert_eq!(lines.lines().count(), 18, "three connections of six packets at least: {lines}");
    for line in lines.lines() {
        assert!(line.contains(&backend), "{line}");
    }
}

fn trace_refused(balancer: &Balancer) -> String {
    let output = balancer.xdplb(&["trace"]);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[ignore = "needs root"]
fn tshark_reads_frames_before_and_after_with_their_fate() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let file = balancer.socket().with_file_name("trace.pcapng");
    let path = file.to_str().expect("text");
    let mut tracing = trace(&balancer, &["--reason", "forwarded", "--count", "2", "-w", path]);
    visit(&testbed, 1);
    assert!(tracing.wait().expect("ended").success());
    let fields = ["frame.interface_name", "ip.dst", "tcp.checksum.status", "frame.comment"];
    let mut tshark = Command::new("tshark");
    tshark.args(["-o", "tcp.check_checksum:TRUE", "-r", path, "-T", "fields"]);
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = tshark.output().expect("tshark");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = String::from_utf8(output.stdout).expect("text");
    let frames: Vec<Vec<&str>> = read.lines().map(|line| line.split('\t').collect()).collect();
    let [came, left, ..] = frames.as_slice() else { panic!("{read}") };
    assert_eq!(frames.len(), 4, "two packets, each twice: {read}");
    assert_eq!(came[..2], ["eth0", &vip(&testbed).ip().to_string()], "{read}");
    assert_eq!((left[0], left[2]), ("eth1", "1"), "a right checksum: {read}");
    assert!(came[3].starts_with("came in; tx forwarded, service web, backend "), "{read}");
    assert!(left[3].starts_with("left; tx forwarded, service web, backend "), "{read}");
}

#[test]
#[ignore = "needs root"]
fn the_usual_program_is_back_however_a_trace_ends() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let usual = program(&testbed);
    let wait = |balancer: &Balancer| {
        balancer.wait_for("the usual program", || program(&testbed) == usual);
    };
    let mut tracing = trace(&balancer, &[]);
    assert_ne!(program(&testbed), usual, "another one records");
    visit(&testbed, 3);
    tracing.kill().expect("it runs");
    tracing.wait().expect("ended");
    wait(&balancer);

    let mut unread = trace(&balancer, &["-w", "/dev/full"]);
    visit(&testbed, 3);
    let ended = unread.wait().expect("ended");
    let mut said = String::new();
    let mut errors = unread.stderr.take().expect("piped");
    errors.read_to_string(&mut said).expect("text");
    assert_eq!(ended.code(), Some(1));
    assert!(said.contains("cannot write /dev/full: No space left on device"), "{said}");
    wait(&balancer);

    let mut closed = trace(&balancer, &[]);
    drop(closed.stdout.take());
    visit(&testbed, 3);
    let mut said = String::new();
    closed.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert!(closed.wait().expect("ended").success(), "as `| head` ends others");
    assert!(said.contains("the pipe is closed"), "{said}");
    wait(&balancer);
}

#[test]
#[ignore = "needs root"]
fn a_trace_of_a_service_ends_when_its_vip_changes() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let tracing = trace(&balancer, &["--service", "web"]);
    visit(&testbed, 1);
    let other = SocketAddr::new(vip(&testbed).ip(), 81);
    balancer.done(&["service", "set", "web", "--vip", &other.to_string()]);
    let output = tracing.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("the VIP of web is {other} now")), "{said}");
    let lines = String::from_utf8(output.stdout).expect("text");
    assert!(lines.contains(&vip(&testbed).to_string()), "{lines}");
}

#[test]
#[ignore = "needs root"]
fn a_daemon_that_is_killed_during_a_trace_leaves_the_next_one_to_end_it() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let mut tracing = trace(&balancer, &[]);
    let recording = program(&testbed);
    balancer.stop(Signal::SIGKILL);
    assert!(!tracing.wait().expect("ended").success(), "the daemon is gone");
    visit(&testbed, 3);
    assert_eq!(program(&testbed), recording, "it forwards on");
    let balancer = Balancer::start(&testbed, &watched(&testbed, ""));
    assert_ne!(program(&testbed), recording);
    let usual = program(&testbed);
    let mut tracing = trace(&balancer, &[]);
    assert_ne!(program(&testbed), usual);
    balancer.stop(Signal::SIGTERM);
    assert_eq!(program(&testbed), usual, "as it was before the daemon stopped");
    assert!(!tracing.wait().expect("ended").success(), "the daemon has stopped");
}

/// Returns the id of the program on the balancer's first interface.
fn program(testbed: &Testbed) -> u64 {
    let mut ip = Command::new("ip");
    ip.args(["-details", "-json", "link", "show", "eth0"]).stdout(Stdio::piped());
    let output = testbed.balancer().spawn(&mut ip).expect("ip").wait_with_output().expect("ended");
    let links: serde_json::Value = serde_json::from_slice(&output.stdout).expect("links");
    links[0]["xdp"]["prog"]["id"].as_u64().expect("a program")
}

#[test]
#[ignore = "needs root"]
fn bad_filters_are_named() {
    let Site { balancer, servers: _servers, testbed: _testbed } = site("");
    let refused = |arguments: &[&str]| {
        let output = balancer.xdplb(&[&["trace"], arguments].concat());
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&["--service", "db"]).contains("there is no service db"));
    let backend = refused(&["--backend", "10.0.0.99:80"]);
    assert!(backend.contains("no service has the backend 10.0.0.99:80"), "{backend}");
    assert!(refused(&["--reason", "full"]).contains("`xdplb stats -o wide` lists all reasons"));
    assert!(refused(&["--sample", "0"]).contains("0 is not in 1.."));
    let missing = refused(&["-w", "/nowhere/trace.pcapng"]);
    assert!(missing.contains("cannot write /nowhere/trace.pcapng"), "{missing}");
    assert!(fs::metadata("/nowhere").is_err());
    let both = refused(&["-w", "/nowhere/trace.pcapng", "-o", "json"]);
    assert!(both.contains("leave one of them out"), "{both}");
}

/// As an analyser cannot read a file that ends within a block.
#[test]
#[ignore = "needs root"]
fn a_disk_that_is_full_leaves_a_file_that_can_be_read() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let disk = testbed.directory().join("disk");
    fs::create_dir(&disk).expect("made");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(&disk);
    assert!(mount.status().expect("mount").success());
    let file = disk.join("trace.pcapng");
    let mut tracing = trace(&balancer, &["-w", file.to_str().expect("text")]);
    let mut status = None;
    balancer.wait_for("the end", || {
        visit(&testbed, 3);
        status = tracing.try_wait().expect("a child");
        status.is_some()
    });
    let said = tracing.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let tshark = Command::new("tshark").arg("-r").arg(&file).output().expect("tshark");
    let unmounted = Command::new("umount").arg(&disk).status().expect("umount");
    assert!(unmounted.success());
    assert!(said.contains("No space left on device") && said.contains("recorded"), "{said}");
    let read = String::from_utf8_lossy(&tshark.stdout).lines().count();
    assert!(tshark.status.success() && read > 0, "{tshark:?}");
}
