//! The connection log, of real connections.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
};

use lb_testbed::Testbed;
use lb_tests::{
    balancer::Balancer,
    requests,
    site::{Site, backend, vip},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::watched::{get, site, watched};

const REQUESTS: u64 = 20;

const ACCOUNTING: &str = "limits.accounting = true\n";

fn path(testbed: &Testbed) -> PathBuf {
    testbed.directory().join("connections.log")
}

/// Returns the configuration with these settings of the connection log.
fn with(testbed: &Testbed, settings: &str) -> String {
    format!("{ACCOUNTING}{}\n[connection_log]\n{settings}\n", watched(testbed, ""))
}

fn to_file(testbed: &Testbed, settings: &str) -> String {
    with(testbed, &format!("to = \"{}\"\n{settings}", path(testbed).display()))
}

/// Makes a site whose balancer has this configuration.
fn logging(settings: impl Fn(&Testbed) -> String) -> Site {
    let Site { balancer, servers, testbed } = site("");
    balancer.stop(Signal::SIGTERM);
    let balancer = Balancer::start(&testbed, &settings(&testbed));
    balancer.wait_for_ring_of(3);
    Site { balancer, servers, testbed }
}

fn lines(testbed: &Testbed) -> Vec<String> {
    let text = fs::read_to_string(path(testbed)).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

fn objects(testbed: &Testbed) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).expect("JSON");
    lines(testbed).iter().map(parse).collect()
}

fn send(testbed: &Testbed) {
    let answers = requests::send(&testbed.clients()[0], vip(testbed), REQUESTS);
    assert_eq!(answers.get(""), None, "{answers:?}");
}

/// Sends one request on a connection, and leaves that open.
fn talk(testbed: &Testbed) -> TcpStream {
    let talk = || {
        let mut stream = TcpStream::connect(vip(testbed)).expect("accepted");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n").expect("sent");
        stream.read_exact(&mut [0; 8]).expect("answered");
        stream
    };
    testbed.clients()[0].namespace.run(talk).expect("the namespace")
}

fn of(line: &Value, key: &str) -> String {
    line[key].as_str().unwrap_or_default().to_owned()
}

fn log(testbed: &Testbed) -> String {
    fs::read_to_string(testbed.directory().join("log")).expect("a log")
}

#[test]
#[ignore = "needs root"]
fn each_connection_is_one_line_of_the_file_and_follows_its_rotation() {
    let Site { balancer, servers: _servers, testbed } =
        logging(|testbed| to_file(testbed, "format = \"json\""));
    send(&testbed);
    balancer.wait_for("a line for each", || lines(&testbed).len() >= 20);
    let backends: Vec<_> = (0..3).map(|nth| backend(&testbed, nth).to_string()).collect();
    for line in objects(&testbed) {
        assert_eq!((of(&line, "service"), of(&line, "end")), ("web".into(), "closed".into()));
        assert_eq!(of(&line, "vip"), vip(&testbed).to_string());
        assert!(backends.contains(&of(&line, "backend")), "{line}");
        let address = testbed.clients()[0].address.to_string();
        assert!(of(&line, "client").starts_with(&address), "{line}");
        let [started, ended] = ["started", "ended"].map(|key| of(&line, key));
        assert!(started <= ended && ended.ends_with('Z'), "{line}");
        for key in ["packets_in", "packets_out"] {
            assert!((3..20).contains(&line[key].as_u64().expect("a number")), "{line}");
        }
        assert!(line["bytes_out"].as_u64() > line["packets_out"].as_u64(), "{line}");
    }
    let rotated = path(&testbed).with_extension("1");
    fs::rename(path(&testbed), &rotated).expect("renamed");
    // It may still be written to for a second.
    balancer.wait_for("a new file", || {
        send(&testbed);
        !lines(&testbed).is_empty()
    });
    let killed = talk(&testbed);
    let client = killed.local_addr().expect("bound").to_string();
    balancer.done(&["conns", "--kill", "--client", &client]);
    balancer.wait_for("the killed one", || {
        objects(&testbed).iter().any(|line| {
            (of(line, "client"), of(line, "end")) == (client.clone(), "killed".to_owned())
        })
    });
    let before = fs::read_to_string(rotated).expect("text").lines().count();
    let sample = |result: &str| {
        let text = get(&testbed, "/metrics", &[]).body;
        let name = format!("xdplb_connection_log_lines_total{{result=\"{result}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name)).expect("a sample");
        line.parse::<usize>().expect("a number")
    };
    balancer
        .wait_for("the count of all lines", || sample("written") == before + lines(&testbed).len());
    assert_eq!(sample("left_out"), 0);
}

#[test]
#[ignore = "needs root"]
fn a_reload_sends_lines_elsewhere_or_ends_them() {
    let Site { balancer, servers: _servers, testbed } = logging(|testbed| {
        let other = "[[service]]\nname = \"other\"\nvip = \"203.0.113.99:81\"\n";
        to_file(testbed, "services = [\"other\"]") + other
    });
    send(&testbed);
    let reload = |text: &str, times: usize| {
        balancer.reload(text);
        let done = || log(&testbed).matches("configuration file reloaded").count() == times;
        balancer.wait_for("the reload", done);
    };
    balancer.wait_for("no connection", || balancer.done(&["conns", "--count"]).starts_with('0'));
    reload(&with(&testbed, "to = \"log\""), 1);
    assert_eq!(lines(&testbed), [""; 0], "of another service");
    send(&testbed);
    let told = || log(&testbed).matches("connection ended ended=").count();
    balancer.wait_for("lines in the log", || told() == 20);
    assert!(log(&testbed).contains(" service=web client="), "{}", log(&testbed));
    reload(&format!("{ACCOUNTING}{}", watched(&testbed, "")), 2);
    send(&testbed);
    balancer.wait_for("no connection", || balancer.done(&["conns", "--count"]).starts_with('0'));
    assert_eq!(told(), 20, "nothing is logged any more");
}

#[test]
#[ignore = "needs root"]
fn a_file_that_cannot_be_written_is_said_once_and_tried_again() {
    let Site { balancer, servers: _servers, testbed } =
        logging(|testbed| to_file(testbed, "").replace("connections.log", "missing/file.log"));
    send(&testbed);
    let fault = "file.log cannot be written: No such file or directory";
    let warns = || balancer.status().warnings.iter().any(|one| one.contains(fault));
    balancer.wait_for("a warning", warns);
    send(&testbed);
    balancer.wait_for("more losses", || {
        let text = get(&testbed, "/metrics", &[]).body;
        text.contains("connection_log_lines_total{result=\"left_out\"} 40")
    });
    assert_eq!(log(&testbed).matches(fault).count(), 1, "{}", log(&testbed));
    fs::create_dir(testbed.directory().join("missing")).expect("made");
    send(&testbed);
    balancer.wait_for("no warning", || !warns());
    let text = fs::read_to_string(testbed.directory().join("missing/file.log")).expect("text");
    let first = text.lines().next().expect("a line");
    assert!(first.starts_with("ended=2") && first.contains(" end=closed "), "{first}");
}

/// A connection that its client's next one replaces is told of by the program, which keeps it for the daemon.
#[test]
#[ignore = "needs root"]
fn what_the_program_ends_while_no_daemon_runs_is_logged_by_the_next_one() {
    let json = |testbed: &Testbed| to_file(testbed, "format = \"json\"");
    let Site { balancer, servers: _servers, testbed } = logging(json);
    balancer.stop(Signal::SIGKILL);
    let client = &testbed.clients()[0];
    client.namespace.set_sysctl("net.ipv4.ip_local_port_range", "40000 40000").expect("set");
    for _ in 0..2 {
        let answers = requests::send(client, vip(&testbed), 1);
        assert_eq!(answers.get(""), None, "{answers:?}");
    }
    assert_eq!(lines(&testbed), [""; 0], "nobody writes");
    let balancer = Balancer::start(&testbed, &json(&testbed));
    balancer.wait_for("both lines", || lines(&testbed).len() == 2);
    for line in objects(&testbed) {
        assert_eq!(of(&line, "client"), format!("{}:40000", client.address));
        assert_eq!((of(&line, "service"), of(&line, "end")), ("web".into(), "closed".into()));
    }
}
