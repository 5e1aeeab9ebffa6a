use std::{fs::Permissions, net::SocketAddr, os::unix::fs::PermissionsExt as _, time::Duration};

use proptest::prelude::*;

use super::{Allowed, Checks, Diagnostics, Loaded, Source, XdpMode, parse, reference};
use crate::model::{HealthCheck, Probe, Timeouts};

const SERVICE: &str = "[[service]]\nname = \"web\"\nvip = \"203.0.113.10:80\"\n";

const VALID: &str = "interfaces = [\"eth0\"]\nsnat_ports = \"2000-3000\"\n\
    [defaults.health]\ninterval = \"5s\"\n\
    [[service]]\nname = \"web\"\nvip = \"203.0.113.10:80/tcp\"\n\
    [[service.backend]]\naddress = \"10.0.0.11:80\"\nweight = 2\nbackup = true\n";

fn read(text: &str) -> Result<Loaded, String> {
    let source = Source { path: "lb.toml".to_owned(), text: text.to_owned() };
    parse::parse(source).map_err(|error| error.to_string())
}

/// Returns the errors in a service with these lines from line 5 of the file on.
fn errors_in_service(lines: &str) -> String {
    read(&format!("interfaces = [\"eth0\"]\n{SERVICE}{lines}")).expect_err(lines)
}

fn assert_shows(shown: &str, place: &str, message: &str, fix: &str) {
    for part in [format!("lb.toml:{place}\n"), message.to_owned(), fix.to_owned()] {
        assert!(shown.contains(&part), "{part:?} is not in\n{shown}");
    }
}

#[test]
fn missing_keys_have_defaults() {
    let loaded = read(&format!(
        "interfaces = [\"eth0\"]\n{SERVICE}[[service.backend]]\naddress = \"10.0.0.11:80\"\n"
    ));
    let loaded = loaded.expect("valid");
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.xdp_mode, XdpMode::Auto);
    assert_eq!(config.snat_ports, 1_024..=32_767);
    assert_eq!(config.limits.flows, 1_000_000);
    assert_eq!(config.api.socket.to_str(), Some(crate::DEFAULT_SOCKET));
    let service = &config.services[0];
    assert_eq!(service.policy.health, HealthCheck::default());
    assert_eq!(service.policy.timeouts, Timeouts::default());
    let backend = &service.backends[0];
    assert_eq!(backend.address, SocketAddr::from(([10, 0, 0, 11], 80)));
    assert_eq!((backend.weight, backend.backup), (1, false));
}

#[test]
fn byte_order_marks_and_line_ends_change_nothing() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("lb.toml");
    let load = |text: &str| {
        std::fs::write(&file, text).expect("written");
        super::load(&file).expect("valid")
    };
    let windows = format!("\u{feff}{}", VALID.replace('\n', "\r\n"));
    let (plain, windows) = (load(VALID), load(&windows));
    assert_eq!(plain.config, windows.config);
    assert_eq!(plain.digests, windows.digests);
    assert!(plain.is_text_of(&file));
    let wrong = VALID.replace("\"5s\"", "5").replace('\n', "\r\n");
    let said = read(&wrong).expect_err("no duration");
    assert_shows(&said, "4:12", "5", "");
    let sent = super::read("lb.toml".to_owned(), format!("\u{feff}{VALID}")).expect("valid");
    assert_eq!(sent.config, plain.config);
}

#[test]
fn a_clash_of_ports_is_shown_at_the_key_or_for_the_default() {
    let said = |ports: &str| {
        let loaded = read(&format!("interfaces = [\"eth0\"]\n{ports}{SERVICE}")).expect("valid");
        let fault = loaded.snat_ports_fault("`snat_ports` shares ports", "move them");
        loaded.refuse(vec![fault]).expect_err("a fault").to_string()
    };
    let placed = said("snat_ports = \"5000-6000\"\n");
    assert_shows(&placed, "2:14", "error: `snat_ports` shares ports", "move them");
    let default = said("");
    assert!(
        default.contains("the default does not fit this host: `snat_ports` shares"),
        "{default}"
    );
    assert!(default.contains("lb.toml") && !default.contains("interfaces"), "{default}");
}

#[test]
fn a_service_overrides_the_defaults_key_by_key() {
    let loaded = read(&format!(
        "interfaces = [\"eth0\"]\n\
         [defaults.health]\ninterval = \"5s\"\nfall = 7\n\
         [defaults.timeouts]\nclosing = \"30s\"\n\
         {SERVICE}health = {{ type = \"none\", interval = \"500ms\" }}\n\
         timeouts = {{ established = \"1h 30m\" }}\n"
    ));
    let service = loaded.expect("valid").config.services.remove(0);
    let expected = HealthCheck {
        probe: Probe::None,
        interval: Duration::from_millis(500),
        fall: 7,
        ..HealthCheck::default()
    };
    assert_eq!(service.policy.health, expected);
    let expected = Timeouts {
        established: Duration::from_mins(90),
        closing: Duration::from_secs(30),
        ..Timeouts::default()
    };
    assert_eq!(service.policy.timeouts, expected);
}

#[test]
fn an_answer_is_checked_by_expect_or_contains_only() {
    let of_default = "[defaults.health]\ntype = \"http\"\nexpect = \"x\"\n";
    let text = format!("interfaces = [\"eth0\"]\n{of_default}{SERVICE}health.contains = \"(y)\"\n");
    let request = read(&text).expect("valid").config.services.remove(0).policy.health.request;
    assert_eq!((request.expect, request.contains.as_deref()), (None, Some("(y)")));
    let both = "health = { type = \"http\", expect = \"x\", contains = \"y\" }\n";
    assert_shows(&errors_in_service(both), "5:52", "or by `expect`", "give one of them");
}

#[test]
fn an_invalid_file_is_shown_with_place_and_fix() {
    let cases = [
        ("interfaces = []", "1:14", "no interface is listed", "interfaces = [\"eth0\"]"),
        ("interfaces = [\"a\", \"a\"]", "1:20", "interface a is listed twice", "remove one"),
        ("interfaces = [\"\"]", "1:15", "not a valid interface name", "ip link"),
        ("interfaces = [\"eth 0\"]", "1:15", "not a valid interface name", "ip link"),
        ("interfaces = [\"sixteen-letters-\"]", "1:15", "not a valid interface name", ""),
        ("interfaces = [\"a\"]\nintervall = 1", "2:1", "unknown key `intervall`", "`xdp_mode`"),
        (
            "interfaces = [\"a\"]\nserivce = 1",
            "2:1",
            "unknown key `serivce`",
            "did you mean `service`?",
        ),
        ("interfaces = [\"a\"]\nxdp_mode = \"fast\"", "2:12", "unknown variant `fast`", "`native`"),
        ("interfaces = [\"a\"]\nbpffs = \"\"", "2:9", "not an absolute path", "\"/sys/fs/bpf\""),
        ("interfaces = [\"a\"]\napi.socket = \"s\"", "2:14", "not an absolute path", "xdplb.sock"),
        ("interfaces = [\"a\"", "1:18", "unclosed array", "expected `]`"),
        ("xdp_mode = \"auto\"", "1:1", "`interfaces` is missing", "interfaces = [\"eth0\"]"),
        (
            "interfaces = [\"a\"]\nsnat_ports = \"9-1\"",
            "2:14",
            "not a range of ports",
            "\"1024-32767\"",
        ),
        (
            "interfaces = [\"a\"]\nsnat_addresses = [\"10.0.0.2\", \"10.0.0.2\"]",
            "2:31",
            "address 10.0.0.2 is given twice",
            "remove one",
        ),
        (
            "interfaces = [\"a\"]\nsnat_addresses = [\"127.0.0.1\"]",
            "2:19",
            "127.0.0.1 cannot be a host's address",
            "this host's addresses",
        ),
        (
            "interfaces = [\"a\"]\nlimits.flows = 16_000_001",
            "2:16",
            "16000001 is out of range",
            "1 to 16000000",
        ),
    ];
    for (text, place, message, fix) in cases {
        assert_shows(&read(text).expect_err(text), place, message, fix);
    }
}

#[test]
fn an_invalid_service_is_shown_with_place_and_fix() {
    let cases = [
        ("mode = \"dsr\"", "5:8", "unknown variant `dsr`", "expected `nat`"),
        ("scheduler = \"fair\"", "5:13", "unknown variant `fair`", "`least-connections`"),
        (
            "health.path = \"/\"",
            "5:15",
            "a check of type tcp does not use `path`",
            "remove it, or give a `type` that uses it: http, https",
        ),
        (
            "health = { type = \"http\", expect = \"(\" }",
            "5:36",
            "`expect`: this is no regular expression: unclosed group",
            "a backslash",
        ),
        (
            "health.type = \"exec\"",
            "5:15",
            "`command`: a check of type exec needs it",
            "command = [\"/usr/local/bin/check\"",
        ),
        (
            "health = { interval = \"1s\", timeout = \"2s\" }",
            "5:39",
            "may not take longer than its interval of 1s",
            "a longer `interval`",
        ),
        ("health.fast_interval = \"5s\"", "5:24", "slower than the interval of 2s", "less than 2s"),
        ("health.port = 0", "5:15", "port 0 is out of range", "1 to 65535"),
        (
            "health.address = \"0.0.0.0\"",
            "5:18",
            "nobody has the address 0.0.0.0",
            "the one address",
        ),
        ("health = { type = \"none\", port = 81 }", "5:34", "type none does not use `port`", "tcp"),
        (
            "health = { type = \"http\", status = \"2xx\" }",
            "5:36",
            "2xx is no list",
            "codes and ranges",
        ),
        ("health = { type = \"http\", host = \"a:x\" }", "5:34", "a:x is no host", "db.example"),
        (
            "health = { type = \"send-expect\", contains = \"1\", send = \"(hidden)\" }",
            "5:57",
            "(hidden) stands for a value that is not shown",
            "give the value itself",
        ),
        ("min_active = 0", "5:14", "no backup would ever be used", "at least 1"),
        ("health = \"tcp\"", "5:10", "invalid type: string", "expected a table of keys"),
        ("health.port = \"80\"", "5:15", "\"80\" is not a whole number", "`port` is 1 to 65535"),
        ("health.port = 70000", "5:15", "70000 is out of range", "`port` is 1 to 65535"),
        ("health.rise = -1", "5:15", "-1 is out of range", "`rise` is 1 to 4294967295"),
        ("health.fall = 4294967296", "5:15", "4294967296 is out of range", "1 to 4294967295"),
        ("min_active = -1", "5:14", "-1 is out of range", "`min_active` is 1 to 4294967295"),
        ("health.interval = 1", "5:19", "1 has no unit", "as in \"1s\" for seconds"),
        ("health.interval = \"5\"", "5:19", "5 has no unit", "as in \"5s\" for seconds"),
        ("health.interval = \"-1s\"", "5:19", "-1s is negative", "expected a duration"),
        ("slow_start = \"soon\"", "5:14", "`soon` is not a duration", "\"500ms\", \"2s\""),
        ("health.address = \"db\"", "5:18", "db is not an IP address", "names are not looked up"),
        ("health.ca = 1", "5:13", "invalid type: integer", "expected a string"),
        ("backend = 1", "5:11", "invalid type: integer", "expected a list, as in"),
        ("health.rise = 0", "5:15", "0 is out of range", "a count of checks is 1 to"),
        ("health.interval = \"0s\"", "5:19", "this time is out of range", "\"500ms\""),
        ("health.timeout = \"2\"", "5:18", "2 has no unit", "as in \"2s\""),
        ("timeouts.established = \"26d\"", "5:24", "this time is out of range", "7d"),
    ];
    for (line, place, message, fix) in cases {
        assert_shows(&errors_in_service(line), place, message, fix);
    }
}

#[test]
fn an_unreadable_key_is_not_reported_missing() {
    let shown = errors_in_service("health = { type = \"exec\", command = \"/bin/true\" }");
    assert_eq!(shown.matches("error:").count(), 1, "{shown}");
    assert_shows(&shown, "5:37", "invalid type: string", "expected a list, as in");
}

#[test]
fn errors_of_words_list_the_valid_ones() {
    for (line, words) in [
        ("on_refused = true", "expected \"retry\" or \"pass\""),
        ("failback = 1", "expected \"auto\" or \"manual\""),
        ("health.close = 1", "expected \"reset\" or \"fin\""),
        ("health.type = []", "expected \"tcp\" or \"tls\" or"),
        ("scheduler = 1", "expected \"round-robin\" or"),
    ] {
        let shown = errors_in_service(line);
        assert!(
            shown.contains("this is not a string in quotes") && shown.contains(words),
            "{shown}"
        );
    }
}

#[test]
fn files_that_cannot_be_used_are_shown_by_check_only() {
    let service = format!("{SERVICE}health = {{ type = \"tls\", ca = \"/nowhere\" }}\n");
    let loaded = read(&format!("interfaces = [\"eth0\"]\n{service}")).expect("valid");
    let shown = loaded.check_files().expect_err("there is none").to_string();
    assert_shows(&shown, "5:31", "`ca`: cannot read /nowhere", "");
}

#[test]
fn faults_of_this_host_are_warnings_of_check() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let open = directory.path().join("open");
    std::fs::create_dir(&open).expect("made");
    std::fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("set");
    let text = format!(
        "interfaces = [\"eth0\"]\nchecks.user = \"nobody-at-all\"\n\
         checks.tls_directories = [\"/etc\", {open:?}]\n{SERVICE}\
         health = {{ type = \"tls\", ca = \"/run/credentials/xdplb.service/none.pem\" }}\n"
    );
    let warnings = read(&text).expect("valid").check_host().expect("only warnings");
    let shown: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    let [credential, user, directory] = &shown[..] else { panic!("three: {shown:?}") };
    assert_shows(credential, "7:31", "`ca`: cannot read /run/credentials/", "`LoadCredential=`");
    assert_shows(user, "2:15", "there is no user nobody-at-all", "/etc/passwd");
    assert_shows(directory, "3:35", "users other than root can write to", "chmod go-w");
    assert!(shown.iter().all(|one| one.starts_with("warning:")), "{shown:?}");
    let other = text.replace("/run/credentials", "/nowhere");
    read(&other).expect("valid").check_host().expect_err("a file that is not there");
}

#[test]
fn users_of_checks_have_names_that_users_can_have() {
    for name in ["", "a b", "a:b", "../x", "-x", "a\\nb"] {
        let text = format!("interfaces = [\"a\"]\nchecks.user = \"{name}\"\n");
        assert_shows(&read(&text).expect_err(name), "2:15", "not a valid user name", "nobody");
    }
}

#[test]
fn an_endless_file_is_not_read_to_the_end() {
    let error = super::load("/dev/zero".as_ref()).expect_err("endless").to_string();
    assert!(error.contains("cannot read /dev/zero: it is longer than 128 MiB"), "{error}");
}

#[test]
fn settings_only_for_root_are_shown_with_their_places() {
    let text = |checks: &str| {
        format!(
            "interfaces = [\"eth0\"]\n{checks}\n[defaults.health]\ncommand = [\"/bin/id\"]\n\
             type = \"exec\"\n{SERVICE}health = {{ type = \"tls\", key = \"/etc/shadow\", \
             certificate = \"/etc/xdplb/tls/own.pem\" }}\n"
        )
    };
    let checks = Checks::default();
    let allowed = Allowed::below(&checks.tls_directories);
    let refuse = |text: &str| {
        let refused = read(text).expect("valid").refuse_foreign(&checks, &allowed);
        refused.expect_err("refused").to_string()
    };
    let shown = refuse(&text(""));
    assert_shows(&shown, "4:11", "`command`: only root may name a program", "apply it as root");
    assert_shows(
        &shown,
        "9:32",
        "`key`: users other than root may only name files below /etc/xdplb/tls",
        "",
    );
    assert_eq!(shown.matches("error:").count(), 2, "{shown}");
    let shown = refuse(&text("checks.user = \"daemon\""));
    assert!(shown.contains("only root may change `checks.user`"), "{shown}");
    assert!(shown.contains("and restart the daemon"), "{shown}");
    let shown = refuse(&text("checks.tls_directories = [\"/\"]"));
    assert!(shown.contains("only root may change `checks`: apply it as root"), "{shown}");
}

#[test]
fn programs_and_files_of_the_last_file_may_be_reused() {
    let text = format!(
        "interfaces = [\"eth0\"]\n{SERVICE}health = {{ type = \"exec\", command = [\"/bin/id\"] }}\n"
    );
    let loaded = read(&text).expect("valid");
    // A command has since removed the service.
    let allowed = Allowed::by(&loaded.config, &crate::desired::Document::default());
    loaded.refuse_foreign(&loaded.config.checks, &allowed).expect("root's own words");
    let other = read(&text.replace("/bin/id", "/bin/sh")).expect("valid");
    other.refuse_foreign(&loaded.config.checks, &allowed).expect_err("another program");
}

#[test]
fn secrets_are_in_no_error() {
    for wrong in ["\\\\q", "\\q"] {
        let line = format!(
            "health = {{ type = \"send-expect\", send = \"hunter2 {wrong}\", expect = \"1\" }}"
        );
        let shown = errors_in_service(&line);
        assert!(shown.contains("5:") && !shown.contains("hunter2"), "{shown}");
    }
    let shown = errors_in_service("health = { type = \"http\", send = \"hunter2\" }");
    assert!(shown.contains("does not use `send`") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn programs_never_run_as_root() {
    let shown = read("interfaces = [\"eth0\"]\nchecks.user = \"root\"\n").expect_err("refused");
    assert_shows(&shown, "2:15", "programs of checks do not run as root", "nobody");
}

#[test]
fn a_hidden_value_that_is_sent_back_is_kept() {
    let keys = |health: serde_json::Value| {
        let mut keys = crate::control::Keys::new();
        keys.insert("health".to_owned(), health);
        keys
    };
    let defaults = crate::model::Policy::default();
    let check = serde_json::json!({ "type": "send-expect", "contains": "OK", "send": "AUTH pass" });
    let mut all = keys(check.clone());
    all.insert("vip".to_owned(), "203.0.113.10:80".into());
    let web = super::service("web", &all, &defaults).expect("valid");
    let hidden = serde_json::json!({ "send": "(hidden)", "contains": "DONE" });
    let changed = super::changed_service(&web, &keys(hidden.clone()), &defaults).expect("valid");
    assert_eq!(changed.policy.health.request.send.as_deref(), Some("AUTH pass"));
    assert_eq!(changed.policy.health.request.contains.as_deref(), Some("DONE"));
    let mut new =
        keys(serde_json::json!({ "type": "send-expect", "contains": "OK", "send": "(hidden)" }));
    new.insert("vip".to_owned(), "203.0.113.10:80".into());
    let refused = super::service("new", &new, &defaults).expect_err("nothing to keep").to_string();
    assert!(refused.contains("stands for a value that is not shown"), "{refused}");
}

#[test]
fn only_root_changes_more_than_services_and_defaults() {
    const SETTINGS: &str = "interfaces = [\"eth0\"]\n";
    let running = read(&format!("{SETTINGS}{SERVICE}")).expect("valid").config;
    let refused = |text: &str| {
        let loaded = read(text).unwrap_or_else(|error| panic!("{error}"));
        loaded.refuse_settings(&running).map_err(|error| error.to_string())
    };
    for fine in [
        String::new(),
        SERVICE.replace("web", "other"),
        format!("{SERVICE}slow_start = \"10s\"\n[[service.backend]]\naddress = \"10.0.0.1:80\"\n"),
        format!("[defaults.health]\ninterval = \"7s\"\n{SERVICE}"),
    ] {
        refused(&format!("{SETTINGS}{fine}")).unwrap_or_else(|error| panic!("{error}"));
    }
    let shown = refused(&format!("interfaces = [\"lo\"]\n{SERVICE}")).expect_err("refused");
    assert_shows(&shown, "1:14", "only root may change `interfaces`", "apply it as root");
    for (setting, key) in [
        ("xdp_mode = \"generic\"", "xdp_mode"),
        ("bpffs = \"/mnt\"", "bpffs"),
        ("snat_ports = \"22-22\"", "snat_ports"),
        ("snat_addresses = [\"10.0.0.2\"]", "snat_addresses"),
        ("state_dir = \"/tmp\"", "state_dir"),
        ("api.socket = \"/tmp/socket\"", "api.socket"),
        ("limits.flows = 7", "limits.flows"),
        ("limits.services = 7", "limits.services"),
        ("limits.backends = 7", "limits.backends"),
        ("limits.resets = 7", "limits.resets"),
        ("checks.user = \"daemon\"", "checks.user"),
        ("checks.tls_directories = [\"/\"]", "checks.tls_directories"),
    ] {
        let shown = refused(&format!("{SETTINGS}{setting}\n{SERVICE}")).expect_err(key);
        assert!(shown.contains(&format!("only root may change `{key}`")), "{shown}");
        assert!(shown.contains("lb.toml:2:"), "{shown}");
    }
    // A missing key has its default again.
    let limited = read(&format!("{SETTINGS}limits.resets = 7\n")).expect("valid").config;
    let shown = read(SETTINGS).expect("valid").refuse_settings(&limited).expect_err("refused");
    assert!(shown.to_string().contains("only root may change `limits.resets`"), "{shown}");
}

#[test]
fn faults_of_inherited_checks_are_reported_once() {
    let in_defaults = |keys: &str| {
        let services =
            SERVICE.to_owned() + &SERVICE.replace("web", "api").replace("10:80", "11:80");
        format!("interfaces = [\"eth0\"]\n[defaults.health]\n{keys}\n{services}")
    };
    let shown = read(&in_defaults("type = \"http\"\nexpect = \"(\"")).expect_err("invalid");
    assert_shows(&shown, "4:10", "unclosed group", "");
    assert_eq!(shown.matches("error:").count(), 1, "{shown}");
    let shown = read(&in_defaults("type = \"exec\"")).expect_err("invalid");
    assert_shows(&shown, "5:8", "`command`: a check of type exec needs it", "");
    assert_shows(&shown, "8:8", "`command`: a check of type exec needs it", "");
    assert_eq!(shown.matches("error:").count(), 2, "{shown}");
}

#[test]
fn an_invalid_backend_is_shown_with_place_and_fix() {
    let cases = [
        ("address = \"10.0.0.1:80\", weight = 70000", "5:48", "weight 70000", "0 to 65535"),
        ("address = \"10.0.0.1:80\", weight = -1", "5:48", "weight -1", "0 to 65535"),
        ("address = \"10.0.0.1:80\", backup = 1", "5:48", "invalid type", "expected a boolean"),
        ("address = \"10.0.0.1:99999\"", "5:24", "port 99999 is out of range", "1 to 65535"),
        ("address = \"10.0.0.1:+80\"", "5:24", "port +80 is out of range", "1 to 65535"),
        ("weight = 1", "5:12", "`address` is missing", "10.0.0.11:80"),
        ("address = \"10.0.0.1:0\"", "5:24", "port 0 is out of range", "1 to 65535"),
        ("address = \"10.0.0.1\"", "5:24", "the port is missing", "10.0.0.1:80"),
        ("address = \"db1:5432\"", "5:24", "db1 is not an IPv4 address", "not looked up"),
        ("address = \"10.0.0.1:\"", "5:24", "the port is missing", "10.0.0.1:80"),
        (
            "address = \"0.0.0.0:80\"",
            "5:24",
            "0.0.0.0 cannot be a host's address",
            "the one address",
        ),
        (
            "address = \"127.0.0.1:80\"",
            "5:24",
            "127.0.0.1 cannot be a host's address",
            "the one address",
        ),
        ("address = \"fd00::1:80\"", "5:24", "IPv6 is not supported yet", "IPv4"),
        ("address = \"[fd00::1]:80\"", "5:24", "IPv6 is not supported yet", "IPv4"),
        ("address = \"203.0.113.10:80\"", "5:24", "is the VIP of service web", "behind it"),
        ("address = \"203.0.113.10:080\"", "5:24", "is the VIP of service web", "behind it"),
        (
            "address = \"10.0.0.1:80\" }, { address = \"10.0.0.1:80\"",
            "5:53",
            "backend 10.0.0.1:80 is given twice",
            "larger weight",
        ),
    ];
    for (backend, place, message, fix) in cases {
        let shown = errors_in_service(&format!("backend = [{{ {backend} }}]"));
        assert_shows(&shown, place, message, fix);
    }
}

#[test]
fn a_list_is_no_table() {
    let lists = [
        ("health = [\"tcp\"]", "5:10"),
        ("timeouts = [\"1s\", \"1s\", \"1s\", \"1s\"]", "5:12"),
        ("backend = [[\"10.0.0.1:80\", 3, true]]", "5:12"),
    ];
    for (line, place) in lists {
        assert_shows(&errors_in_service(line), place, "sequence", "expected a table of keys");
    }
    for (line, place) in [
        ("limits = [5, 5, 5, 5]", "2:10"),
        ("api = [\"/s\", \"\"]", "2:7"),
        ("checks = [\"daemon\", []]", "2:10"),
    ] {
        let shown = read(&format!("interfaces = [\"a\"]\n{line}")).expect_err(line);
        assert_shows(&shown, place, "sequence", "expected a table of keys");
    }
}

#[test]
fn a_hundred_errors_are_shown_and_the_others_counted() {
    let many = |line: &dyn Fn(usize) -> String| {
        let lines: Vec<_> = (0..20_000).map(line).collect();
        errors_in_service(&lines.join("\n"))
    };
    let shown = many(&|_| "[[service.backend]]\naddress = \"x:80\"".to_owned());
    assert_eq!(places(&shown).len(), 100, "{shown}");
    assert!(shown.ends_with("\n\nand 19900 more errors: fix these first"), "{shown}");
    let shown = many(&|_| "[[service.backend]]\nweight = 1".to_owned());
    assert!(shown.ends_with("and 19900 more errors: fix these first"), "{shown}");
    let shown = many(&|_| "[[service.backend]]\naddress = \"203.0.113.10:80\"".to_owned());
    assert!(shown.contains("is the VIP of service web"), "{shown}");
    let shown = many(&|nth| format!("key{nth} = 1"));
    assert_eq!(places(&shown).len(), 100, "{shown}");
    assert!(shown.contains("more errors: fix these first"), "{shown}");
    let shown = many(&|_| "] = ".to_owned());
    assert_eq!(places(&shown).len(), 100, "{shown}");
    let shown = errors_in_service(&format!("backend = [ = {}]", "1, ".repeat(20_000)));
    assert!(places(&shown).len() <= 100, "{shown}");
}

#[test]
fn a_line_that_is_too_long_is_not_shown() {
    let shown = errors_in_service(&format!("scheduler = \"{}\"", "ä".repeat(5_000)));
    assert_shows(&shown, "5:13", "unknown variant", "expected");
    assert!(!shown.contains("scheduler = "), "{shown}");
}

#[test]
fn control_characters_of_a_file_are_escaped() {
    let text = "interfaces = [\"a\"]\n\"b\\u001b[2J\\nerror: c\" = 1\nxdp_mode = \"\u{9b}31m\"\n";
    let source = Source { path: "\x1b]0;x\x07\n.toml".to_owned(), text: text.to_owned() };
    let shown = parse::parse(source).expect_err("invalid").to_string();
    assert!(shown.contains("\\u{1b}]0;x\\u{7}\\n.toml:2:1\n"), "{shown}");
    assert!(shown.contains("unknown key `b\\u{1b}[2J\\nerror: c`"), "{shown}");
    assert!(!shown.contains('\x1b'), "{shown:?}");
}

#[test]
fn services_must_differ_and_be_ipv4_tcp() {
    let cases = [
        ("web", "203.0.113.11:80", "6:8", "two services are named web", "rename one"),
        ("b", "203.0.113.10:80/tcp", "7:7", "is that of service web already", "own address"),
        ("b", "203.0.113.11:53/udp", "7:7", "protocol udp is not supported yet", "TCP"),
        ("b", "224.0.0.1:80", "7:7", "224.0.0.1 cannot be a host's address", "the one address"),
        (
            "b",
            "255.255.255.255:80",
            "7:7",
            "255.255.255.255 cannot be a host's address",
            "the one address",
        ),
        ("b", "[2001:db8::1]:80", "7:7", "IPv6 is not supported yet", "IPv4"),
        ("b c", "203.0.113.11:80", "6:8", "not a valid service name", "letters, digits"),
    ];
    for (name, vip, place, message, fix) in cases {
        let second = format!("[[service]]\nname = \"{name}\"\nvip = \"{vip}\"");
        assert_shows(&errors_in_service(&second), place, message, fix);
    }
}

/// Returns the places of errors in the order shown.
fn places(shown: &str) -> Vec<&str> {
    shown.lines().filter_map(|line| line.trim_start().strip_prefix("--> lb.toml:")).collect()
}

#[test]
fn all_errors_are_shown_at_once_in_the_files_order() {
    let shown = errors_in_service(
        "mode = \"gue\"\nscheduler = \"best\"\nbackend = [{ address = \"x\", weight = -1 }]",
    );
    assert_eq!(places(&shown), ["5:8", "6:13", "7:24", "7:38"], "{shown}");
}

#[test]
fn errors_of_syntax_structure_and_meaning_are_shown_together() {
    let text = "interfaces = 7\n\
        xdp_mode = \n\
        bpffs = \"\"\n\
        bpffs = \"/bpf\"\n\
        [api]\nsockt = \"/run/s\"\n\
        [[service]]\nvip = \"203.0.113.10\"\nhealth = { type = \"tpc\", rise = \"2\" }\n\
        [[service.backend]]\nweight = -1\nbakup = true\n\
        [[service]]\nname = 5\nvip = \"203.0.113.11:80\"\nfail_open = \"200%\"\n";
    let shown = read(text).expect_err("invalid");
    let expected = [
        ("1:14", "invalid type: integer `7`"),
        ("2:12", "string values must be quoted"),
        ("3:9", "not an absolute path"),
        ("4:1", "duplicate key"),
        ("6:1", "unknown key `sockt`"),
        ("7:1", "`name` is missing"),
        ("8:7", "the port is missing"),
        ("9:19", "unknown variant `tpc`"),
        ("9:33", "\"2\" is not a whole number"),
        ("10:1", "`address` is missing"),
        ("11:10", "weight -1 is out of range"),
        ("12:1", "did you mean `backup`?"),
        ("14:8", "invalid type: integer `5`"),
        ("16:13", "is not a share"),
    ];
    assert_eq!(places(&shown), expected.map(|(place, _)| place), "{shown}");
    for (place, message) in expected {
        assert_shows(&shown, place, message, "");
    }
}

fn as_json(text: &str) -> serde_json::Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).expect("TOML")).expect("JSON")
}

#[test]
fn the_schema_accepts_exactly_valid_configurations() {
    let schema = jsonschema::validator_for(&reference::schema().expect("made")).expect("a schema");
    assert!(schema.is_valid(&as_json(VALID)), "{:?}", schema.validate(&as_json(VALID)));
    for (wrong, by) in [
        ("interval = \"5s\"", "intervall = \"5s\""),
        ("weight = 2", "weight = \"2\""),
        ("name = \"web\"", ""),
        ("[defaults.health]", "[defaults.health]\ntype = \"tpc\""),
    ] {
        let text = VALID.replace(wrong, by);
        assert!(!schema.is_valid(&as_json(&text)), "{text}");
    }
}

/// Checks the file of the package with its examples uncommented.
#[test]
fn the_packages_configuration_is_good() {
    let packaged = include_str!("../../../packaging/xdplb.toml");
    let used = |line: &str| match line.strip_prefix('#') {
        Some(example) if !example.starts_with(' ') => format!("{example}\n"),
        _ => format!("{line}\n"),
    };
    for text in [packaged.to_owned(), packaged.lines().map(used).collect()] {
        assert_eq!(read(&text).expect("good").warnings, []);
    }
}

#[test]
fn the_owner_of_a_file_is_read_with_its_text() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("lb.toml");
    std::fs::write(&file, format!("\u{feff}{VALID}")).expect("written");
    for (mode, is_roots) in [(0o644, true), (0o664, false), (0o646, false)] {
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).expect("set");
        assert_eq!(super::load(&file).expect("valid").is_roots, is_roots, "{mode:o}");
    }
}

#[test]
fn secrets_are_not_shown_beside_an_invalid_byte() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("lb.toml");
    std::fs::write(&file, b"send = \"hunter2 \xff\"\n").expect("written");
    let shown = super::load(&file).expect_err("no UTF-8").to_string();
    assert!(shown.contains("0xff is not UTF-8") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_file_that_is_not_there_is_invalid() {
    let error = super::load("/nowhere/xdplb.toml".as_ref()).expect_err("there is none");
    assert!(error.is::<Diagnostics>(), "{error:?}");
    assert!(error.to_string().contains("cannot read /nowhere/xdplb.toml: No such file"), "{error}");
}

#[test]
fn unused_keys_are_warned_of() {
    let text = "interfaces = [\"a\"]\napi.http = \"[::1]:9370\"\n";
    let warnings = read(text).expect("valid").warnings;
    assert_eq!(warnings.len(), 1);
    assert_shows(&warnings[0].to_string(), "2:12", "`api.http` is not supported", "unix socket");
}

#[test]
fn errors_of_the_host_have_places() {
    let text = format!(
        "interfaces = [\"a\", \"b\"]\n{SERVICE}backend = [{{ address = \"10.0.0.1:80\" }}]\n"
    );
    let loaded = read(&text).expect("valid");
    loaded.refuse(Vec::new()).expect("nothing is wrong");
    let faults = vec![
        loaded.interface_fault(1, "there is none", "make it"),
        loaded.backend_fault(0, 0, "this is here", "go there"),
    ];
    let shown = loaded.refuse(faults).expect_err("faults").to_string();
    assert_eq!(places(&shown), ["1:20", "5:24"], "{shown}");
    assert_shows(&shown, "1:20", "there is none", "make it");
    assert_shows(&shown, "5:24", "this is here", "go there");
}

#[test]
fn only_changes_that_need_a_restart_are_refused() {
    let before = read("interfaces = [\"a\"]").expect("valid").config;
    let other = |line: &str| read(&format!("interfaces = [\"b\"]\n{line}")).expect("valid").config;
    before.refuse_restart_only(&other("xdp_mode = \"native\"")).expect("may change");
    for (line, word) in [
        ("bpffs = \"/bpf\"", "`bpffs` has changed: restart"),
        ("api.socket = \"/socket\"", "`api.socket` has changed: restart"),
        ("limits.resets = 5", "`limits.resets` has changed: restart"),
        ("limits.flows = 5", "`limits.flows` has changed, but the running maps keep their size"),
    ] {
        let refused = before.refuse_restart_only(&other(line)).expect_err(line).to_string();
        assert!(refused.contains(word), "{refused}");
    }
    let several = other("bpffs = \"/bpf\"\nlimits.flows = 5\nlimits.backends = 6");
    let refused = before.refuse_restart_only(&several).expect_err("several").to_string();
    for key in ["`bpffs`", "`limits.flows`", "`limits.backends`"] {
        assert!(refused.contains(key), "{key} is not in {refused}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text: String) {
        if let Err(shown) = read(&text) {
            prop_assert!(shown.contains("lb.toml:"), "{}", shown);
        }
    }

    #[test]
    fn no_change_of_a_valid_text_panics(
        at in 0..VALID.len(),
        cut in 0_usize..20,
        insert in "[\\PC\n]{0,8}",
    ) {
        let end = (at + cut).min(VALID.len());
        let text = format!("{}{insert}{}", &VALID[..at], &VALID[end..]);
        if let Err(shown) = read(&text) {
            prop_assert!(shown.contains("lb.toml:"), "{}", shown);
        }
    }
}

#[test]
fn a_summary_has_place_and_reason_but_no_secret() {
    let summary = |text: &str| {
        let source = Source { path: "lb.toml".to_owned(), text: text.to_owned() };
        let error = super::parse::parse(source).expect_err("invalid");
        error.downcast_ref::<Diagnostics>().expect("diagnostics").summary().to_owned()
    };
    let plain = summary("interfaces = [\"eth0\"]\nwieght = 2\nintervall = 3\n");
    assert!(plain.contains(":2: unknown key `wieght` (and "), "{plain}");
    let secret = summary(
        "interfaces = [\"eth0\"]\n[[service]]\nname = \"a\"\nvip = \"203.0.113.1:80\"\n\
         [service.health]\ntype = \"send-expect\"\nexpect = \"x\"\nsend = 424242\n\
         [[service.backend]]\naddress = \"10.0.0.11:80\"\n",
    );
    assert!(
        secret.contains(":8: the line with `send` is invalid") && !secret.contains("424242"),
        "{secret}"
    );
}
