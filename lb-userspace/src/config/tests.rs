use proptest::prelude::*;

use super::*;
use crate::model::Probe;

const GOOD: &str = r#"interfaces = ["eth0"]
[[service]]
name = "web"
vip = "203.0.113.10:80"
[[service.backend]]
address = "10.0.0.11:80"
weight = 2
[[service.backend]]
address = "10.0.0.12:80"
backup = true
"#;

fn parse(text: &str) -> Result<Loaded> {
    parse::parse(Source { path: "xdplb.toml".to_owned(), text: text.to_owned() })
}

/// What is said of the good configuration with one thing replaced.
fn said_of(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    let error = parse(&GOOD.replace(old, new)).expect_err("invalid");
    assert!(error.is::<Diagnostics>());
    error.to_string()
}

#[test]
fn a_good_file_means_what_it_says() {
    let loaded = parse(GOOD).unwrap();
    assert!(loaded.warnings.is_empty());
    let config = loaded.config;
    assert_eq!(config.interfaces, ["eth0"]);
    assert_eq!((config.xdp_mode, config.snat_ports), (XdpMode::Auto, 1_024..=32_767));
    let service = &config.services[0];
    assert_eq!(service.vip.to_string(), "203.0.113.10:80");
    assert_eq!(service.health, crate::model::HealthCheck::default());
    let backends: Vec<_> = service.backends.iter().map(|one| (one.weight, one.backup)).collect();
    assert_eq!(backends, [(2, false), (1, true)]);
}

#[test]
fn services_take_what_they_do_not_say_from_the_defaults() {
    let text = GOOD.replace(
        "[[service]]",
        "[defaults.health]\ninterval = \"5s\"\nfall = 7\n[defaults.timeouts]\nclosed = \"9s\"\n\
         [[service]]\nhealth = { type = \"none\", fall = 2 }",
    );
    let service = parse(&text).unwrap().config.services.remove(0);
    assert_eq!(service.health.probe, Probe::None);
    assert_eq!((service.health.interval.as_secs(), service.health.fall), (5, 2));
    assert_eq!(service.timeouts.closed.as_secs(), 9);
}

#[test]
fn what_is_wrong_is_said_where_it_stands_and_with_the_mend() {
    let cases = [
        ("\"eth0\"]", "\"eth0\", \"eth0\"]", "xdplb.toml:1:23", "remove one"),
        ("[\"eth0\"]", "[]", "xdplb.toml:1:14", "interfaces = [\"eth0\"]"),
        ("weight = 2", "weight = 0", "xdplb.toml:7:10", "drain it"),
        ("weight = 2", "weight = 70000", "xdplb.toml:7:10", "1 to 65535"),
        ("10.0.0.12:80", "10.0.0.11:80", "xdplb.toml:9:11", "larger weight"),
        ("10.0.0.12:80", "10.0.0.12:0", "xdplb.toml:9:11", "a port is 1 to 65535"),
        ("10.0.0.12:80", "10.0.0.12:70000", "xdplb.toml:9:11", "a port is 1 to 65535"),
        ("10.0.0.12:80", "10.0.0.12", "xdplb.toml:9:11", "as in 10.0.0.1:80"),
        ("10.0.0.12:80", "web2:80", "xdplb.toml:9:11", "names are not looked up"),
        ("10.0.0.12:80", "203.0.113.10:80", "xdplb.toml:9:11", "a server behind it"),
        ("10.0.0.12:80", "[fd00::1]:80", "xdplb.toml:9:11", "IPv6 is not supported yet"),
        ("113.10:80\"", "113.10:80/udp\"", "xdplb.toml:4:7", "services are TCP"),
        ("name = \"web\"", "name = \"w b\"", "xdplb.toml:3:8", "letters, digits"),
        ("backup = true", "backup = 1", "xdplb.toml:10:10", "expected a boolean"),
        ("backup = true", "bakcup = true", "xdplb.toml:10:1", "expected one of"),
        ("name = \"web\"", "mode = \"dsr\"\nname = \"web\"", "xdplb.toml:3:8", "\"nat\""),
        (
            "name = \"web\"",
            "scheduler = \"maglev\"\nname = \"web\"",
            "xdplb.toml:3:13",
            "round-robin",
        ),
        (
            "[[service]]",
            "snat_ports = \"9-1\"\n[[service]]",
            "xdplb.toml:2:14",
            "the first and the last",
        ),
        (
            "[[service]]",
            "limits.flows = 17_000_000\n[[service]]",
            "xdplb.toml:2:16",
            "1 to 16000000",
        ),
    ];
    for (old, new, place, mend) in cases {
        let said = said_of(old, new);
        assert!(said.contains(place), "{new}: {said}");
        assert!(said.contains(mend), "{new}: {said}");
    }
}

#[test]
fn a_vip_is_one_services_only() {
    let twin = "[[service]]\nname = \"other\"\nvip = \"203.0.113.10:80\"\n";
    let said = parse(&(GOOD.to_owned() + twin)).expect_err("invalid").to_string();
    assert!(said.contains("xdplb.toml:13:7"), "{said}");
    assert!(said.contains("is that of service web already"), "{said}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_files_order() {
    let text = GOOD.replace("weight = 2", "weight = 0").replace("10.0.0.12", "nowhere");
    let said = parse(&text).expect_err("invalid").to_string();
    let (weight, address) = (said.find("weight of 0"), said.find("nowhere is not"));
    assert!(weight.is_some() && weight < address, "{said}");
}

#[test]
fn keys_of_other_versions_are_warned_of() {
    let text = format!("state_dir = \"/var/lib/xdplb\"\n{GOOD}[api]\nhttp = \"127.0.0.1:9370\"\n");
    let warnings = parse(&text).unwrap().warnings;
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].to_string().contains("`state_dir` is not used"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let said = format!("{:#}", load(Path::new("/nonexistent/xdplb.toml")).expect_err("missing"));
    assert!(said.starts_with("cannot read /nonexistent/xdplb.toml: No such file"), "{said}");
}

#[test]
fn what_needs_a_restart_is_refused_by_a_reload() {
    let old = parse(GOOD).unwrap().config;
    let new = Config { limits: Limits { flows: 5 }, ..old.clone() };
    assert!(old.refuse_restart_only(&old).is_ok());
    let said = old.refuse_restart_only(&new).expect_err("changed").to_string();
    assert!(said.contains("limits.flows") && said.contains("restart"), "{said}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String) {
        let _ = parse(&text);
    }

    #[test]
    fn no_change_of_a_good_file_makes_it_panic(at in 0..GOOD.len(), insert in "[\\PC\n]{0,8}", cut in 0_usize..20) {
        let end = (at + cut).min(GOOD.len());
        let text = format!("{}{insert}{}", &GOOD[..at], &GOOD[end..]);
        let _ = parse(&text);
    }
}
