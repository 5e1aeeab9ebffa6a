//! `xdplb top` on a terminal.

use std::{io::Write as _, net::TcpStream};

use lb_model::views::Stats;
use lb_tests::{
    balancer::{BINARY, Balancer},
    console::Console,
    requests,
    servers::nginx_everywhere,
    site::{Arms, Site, empty_testbed, site, text, vip},
};
use nix::sys::signal::Signal;
use portable_pty::CommandBuilder;

fn top(balancer: &Balancer) -> Console {
    let mut command = CommandBuilder::new(BINARY);
    command.arg("--socket");
    command.arg(balancer.socket());
    command.args(["top", "--interval", "250ms"]);
    let console = Console::run(command);
    console.wait_for_texts(&["services  by SERVICE", "web"]);
    console
}

#[test]
#[ignore = "needs root"]
fn services_lead_to_backends_and_these_to_connections() {
    let Site { balancer, mut servers, testbed } = site(Arms::Two, [1; 3]);
    let mut console = top(&balancer);
    console.wait_for_texts(&["1 service, 3 of 3 backends up", "203.0.113.10:80           3/3"]);
    console.press("\r");
    console.wait_for_texts(&["services > web", "10.0.0.11:80          up", "10.0.0.13:80"]);
    let connect = || TcpStream::connect(vip(&testbed)).expect("accepted");
    let mut streams: Vec<_> = (0..3)
        .map(|_| testbed.clients()[0].namespace.run(connect).expect("the namespace"))
        .collect();
    for stream in &mut streams {
        stream.write_all(b"G").expect("sent");
    }
    console.press("jj\r");
    let own = balancer.done(&["conns", "--backend", "10.0.0.13:80", "-o", "json"]);
    let own: lb_model::connections::Connection = serde_json::from_str(&own).expect("one");
    console.wait_for_texts(&["> 10.0.0.13:80", &own.client.to_string(), "established"]);
    console.press("\x1b");
    servers.pop();
    console.wait_for_texts(&["! 10.0.0.13:80          down", "2 of 3 backends up"]);
    console.press("/.12\r");
    console.wait_for("one backend", |screen| {
        screen.contents().contains("10.0.0.12:80") && !screen.contents().contains("10.0.0.11:80")
    });
    console.resize(132, 10);
    console.wait_for_texts(&["LAST CHECK", "? help  q quit"]);
    console.press("q");
    assert_eq!(console.ended(), 0);
}

#[test]
#[ignore = "needs root"]
fn the_terminal_is_left_as_it_was_whatever_ends_it() {
    let Site { balancer, servers: _servers, testbed: _testbed } = site(Arms::Two, [1; 3]);
    for key in ["q", "\x03"] {
        let mut console = top(&balancer);
        console.press(key);
        assert_eq!(console.ended(), 0, "{key:?}");
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let console = top(&balancer);
        console.signal(signal);
        assert_eq!(console.ended(), 0, "{signal}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_stopped_one_gives_the_terminal_back_until_it_goes_on() {
    let Site { balancer, servers: _servers, testbed: _testbed } = site(Arms::Two, [1; 3]);
    let mut console = top(&balancer);
    for is_key in [true, false] {
        if is_key {
            console.press("\x1a");
        } else {
            console.signal(Signal::SIGTSTP);
        }
        console.wait_until_stopped();
        console.signal(Signal::SIGCONT);
        console.wait_for("its screen", |screen| {
            screen.alternate_screen() && screen.contents().contains("services  by SERVICE")
        });
    }
    console.press("q");
    assert_eq!(console.ended(), 0);
}

#[test]
#[ignore = "needs root"]
fn it_survives_the_daemon() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let console = top(&balancer);
    balancer.stop(Signal::SIGKILL);
    console.wait_for_texts(&["trying again: no daemon at ", "web"]);
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    console.wait_for("no trouble", |screen| !screen.contents().contains("trying again"));
    balancer.done(&["service", "remove", "web"]);
    console.wait_for_texts(&["no services: add one"]);
}

#[test]
#[ignore = "needs root"]
fn handshakes_resets_and_bytes_are_shown() {
    let testbed = empty_testbed(Arms::Two);
    let _servers = nginx_everywhere(&testbed);
    let text = text(&testbed, &[1; 3]);
    let accounted = text.replacen("limits.flows", "limits.accounting = true\nlimits.flows", 1);
    let balancer = Balancer::start(&testbed, &accounted);
    balancer.wait_for_ring_of(3);
    balancer.wait_for("a measured handshake", || {
        let answers = requests::send(&testbed.clients()[0], vip(&testbed), 100);
        assert!(!answers.contains_key(""), "{answers:?}");
        let stats = balancer.done(&["stats", "-o", "json"]);
        let stats: Stats = serde_json::from_str(&stats).expect("statistics");
        stats.services[0].backends[0].handshakes.samples > 0
    });
    let mut console = top(&balancer);
    console.press("\r");
    console.wait_for_texts(&["handshakes: median ", "99 % ", "SYNs sent again: ", "resets: "]);
    console.resize(132, 24);
    console.wait_for_texts(&["HANDSHAKE", "s      1"]);
    console.resize(80, 24);
    console.press("\r");
    console.wait_for_texts(&["IDLE BYTES", "in: ", " packets, "]);
    console.press(">");
    console.wait_for_texts(&["by BYTES, descending"]);
    console.press("q");
    assert_eq!(console.ended(), 0);
}

#[test]
#[ignore = "needs root"]
fn warnings_are_shown_in_full() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let mut console = top(&balancer);
    balancer.reload(&("nonsense = 1\n".to_owned() + &text(&testbed, &[1; 3])));
    console.wait_for("the beginning of the warning", |screen| {
        let shown = screen.contents();
        shown.contains("! the reload at ") && !shown.contains("nonsense")
    });
    console.press("w");
    console.wait_for_texts(&["warnings  by #", "nonsense"]);
    console.press("\x1b");
    console.wait_for_texts(&["services  by SERVICE"]);
    console.press("q");
    assert_eq!(console.ended(), 0);
}
