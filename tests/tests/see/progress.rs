//! Progress of long work on a terminal.

use std::{fs, io::Write as _, net::TcpStream};

use lb_testbed::Testbed;
use lb_tests::{
    balancer::{BINARY, Balancer},
    console::Console,
    site::{Arms, Site, backend, site, text, vip},
};
use nix::sys::signal::Signal;
use portable_pty::CommandBuilder;

#[test]
#[ignore = "needs root"]
fn a_drain_shows_the_connections_left_until_the_last_one_ends() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let streams = streams(&testbed, 6);
    let console = Console::run(drain(&balancer, &testbed));
    console.wait_for_texts(&["10.0.0.11:80: 2 of 2 connections left"]);
    drop(streams);
    assert_eq!(console.ended_showing(""), 0);
}

#[test]
#[ignore = "needs root"]
fn the_terminal_is_left_as_it_was_whatever_ends_it() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let _streams = streams(&testbed, 3);
    let draining = || {
        let console = Console::run(drain(&balancer, &testbed));
        console.wait_for_texts(&["10.0.0.11:80: 1 of 1 connection left"]);
        console
    };
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let console = draining();
        console.signal(signal);
        assert_ne!(console.ended_showing(""), 0, "{signal}");
    }
    let mut console = draining();
    console.press("\x03");
    assert_ne!(console.ended_showing(""), 0);
    let console = draining();
    balancer.done(&["backend", "remove", "web", "10.0.0.11:80"]);
    assert_eq!(console.ended_showing("xdplb: 10.0.0.11:80 was removed in the meantime"), 1);
}

#[test]
#[ignore = "needs root"]
fn a_terminal_without_a_movable_cursor_gets_plain_lines() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let streams = streams(&testbed, 3);
    let line = "10.0.0.11:80: 1 of 1 connection left";
    let console = Console::run_on("dumb", drain(&balancer, &testbed));
    console.wait_for_texts(&[line]);
    drop(streams);
    assert_eq!(console.ended_showing(line), 0);
}

#[test]
#[ignore = "needs root"]
fn a_kill_of_many_connections_shows_how_far_it_has_come() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let _streams = streams(&testbed, 600);
    let console = Console::run(xdplb(&balancer, &["conns", "--kill", "--service", "web", "--yes"]));
    console.wait_for_texts(&["scanned ", " flow table entries"]);
    assert_eq!(console.ended_showing("600 connections killed"), 0);
}

/// A daemon that is stopped for a moment takes long in any case.
#[test]
#[ignore = "needs root"]
fn what_the_daemon_does_is_told_while_a_command_waits_for_it() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let file = testbed.directory().join("other.toml");
    fs::write(&file, text(&testbed, &[2, 1, 1])).expect("written");
    let path = file.to_str().expect("text");
    for (arguments, told, shown) in [
        (
            &["apply", "-c", path][..],
            "the daemon checks and applies ",
            "~ web: 10.0.0.11:80: weight: 1 -> 2",
        ),
        (&["diff", "-c", path], "the daemon checks ", "no differences from version 2"),
        (
            &["rollback"],
            "the daemon checks and applies the former version",
            "~ web: 10.0.0.11:80: weight: 2 -> 1",
        ),
    ] {
        balancer.signal(Signal::SIGSTOP);
        let console = Console::run(xdplb(&balancer, arguments));
        console.wait_for_texts(&[told]);
        balancer.signal(Signal::SIGCONT);
        assert_eq!(console.ended_showing(shown), 0, "{arguments:?}");
    }
}

fn drain(balancer: &Balancer, testbed: &Testbed) -> CommandBuilder {
    let drained = backend(testbed, 0).to_string();
    xdplb(balancer, &["backend", "drain", "web", &drained, "--wait"])
}

fn xdplb(balancer: &Balancer, arguments: &[&str]) -> CommandBuilder {
    let mut command = CommandBuilder::new(BINARY);
    command.arg("--socket");
    command.arg(balancer.socket());
    command.args(arguments);
    command
}

/// Opens connections to the service.
fn streams(testbed: &Testbed, count: usize) -> Vec<TcpStream> {
    let connect = || {
        let mut stream = TcpStream::connect(vip(testbed)).expect("accepted");
        stream.write_all(b"G").expect("sent");
        stream
    };
    let client = &testbed.clients()[0].namespace;
    (0..count).map(|_| client.run(connect).expect("the namespace")).collect()
}
