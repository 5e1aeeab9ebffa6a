//! Values of valid files.

use std::{net::SocketAddr, time::Duration};

use lb_model::{
    ConnectionLog, Event, HealthCheck, LineFormat, LogTarget, Notify, Probe, Recipient, Timeouts,
    XdpMode,
};

use super::*;
use crate::reference;

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
    assert_eq!(config.api.socket.to_str(), Some(lb_model::DEFAULT_SOCKET));
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
        crate::load(&file).expect("valid")
    };
    let windows = format!("\u{feff}{}", VALID.replace('\n', "\r\n"));
    let (plain, windows) = (load(VALID), load(&windows));
    assert_eq!(plain.config, windows.config);
    assert_eq!(plain.digests, windows.digests);
    assert!(plain.is_text_of(&file));
    let wrong = VALID.replace("\"5s\"", "5").replace('\n', "\r\n");
    let said = read(&wrong).expect_err("no duration");
    assert_shows(&said, "4:12", "5", "");
    let sent = crate::read("lb.toml".to_owned(), format!("\u{feff}{VALID}")).expect("valid");
    assert_eq!(sent.config, plain.config);
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
    assert_shows(
        &errors_in_service(both),
        "5:52",
        "cannot be combined with `expect`",
        "give one of them",
    );
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
    let packaged = include_str!("../../../../packaging/xdplb.toml");
    let used = |line: &str| match line.strip_prefix('#') {
        Some(example) if !example.starts_with(' ') => format!("{example}\n"),
        _ => format!("{line}\n"),
    };
    for text in [packaged.to_owned(), packaged.lines().map(used).collect()] {
        assert_eq!(read(&text).expect("good").warnings, []);
    }
}

#[test]
fn http_is_for_this_host_or_needs_a_token() {
    let token = "api.http_token = \"0123456789abcdef\"";
    let with = |lines: &str| read(&format!("interfaces = [\"a\"]\n{lines}"));
    let api = |lines: &str| with(lines).expect("valid").config.api;
    assert_eq!(api("").http, None);
    let loopback = api("api.http = \"[::1]:9370\"");
    assert_eq!((loopback.http, loopback.http_token), ("[::1]:9370".parse().ok(), None));
    let public = api(&format!("api.http = \"192.0.2.1:9370\"\n{token}"));
    assert_eq!(public.http_token.as_deref(), Some("0123456789abcdef"));
    let warnings = with(token).expect("valid").warnings;
    assert_shows(&warnings[0].to_string(), "2:18", "no `api.http`", "as in http");
    for (lines, place, message, fix) in [
        ("api.http = \"192.0.2.1:9370\"", "2:12", "any host", "`api.http_token`"),
        ("api.http = \"localhost:9370\"", "2:12", "not an address and port", "127.0.0.1:9370"),
        ("api.http = \"127.0.0.1:0\"", "2:12", "port 0", "give a port"),
        ("api.http_token = \"short\"", "2:18", "shorter than 16", "openssl"),
        ("api.http_token = \"with a space and more\"", "2:18", "letters, digits", "openssl"),
        ("api.http_token = \"(hidden)\"", "2:18", "not shown", "the token itself"),
    ] {
        let error = with(lines).expect_err(lines);
        assert_shows(&error, place, message, fix);
        assert!(!error.contains("short\"") && !error.contains("with a space"), "{error}");
    }
}

#[test]
fn recipients_have_defaults_and_exactly_one_address() {
    let with = |lines: &str| read(&format!("interfaces = [\"a\"]\n[[notify]]\n{lines}"));
    let page = with("program = \"/bin/page\"").expect("valid").config.notify;
    let expected = Notify {
        recipient: Recipient::Program("/bin/page".into()),
        events: Vec::new(),
        services: Vec::new(),
        timeout: Duration::from_secs(10),
        retries: 3,
    };
    assert_eq!(page, [expected]);
    let hook = "url = \"https://hooks.example/secret\"";
    let text = format!("{hook}\nevents = [\"backend-down\"]\nservices = [\"web\"]\nretries = 0");
    let notify = with(&text).expect("valid").config.notify.remove(0);
    assert_eq!((notify.events, notify.services), (vec![Event::BackendDown], vec!["web".into()]));
    for (lines, place, message, fix) in [
        ("", "2:1", "neither a `program` nor a `url`", "program = "),
        ("program = \"page\"", "3:11", "not an absolute path", "/usr/local/sbin/page"),
        ("program = \"/a\"\nurl = \"http://a/\"", "4:7", "a `program` already", "its own"),
        ("url = \"ftp://hooks.example/secret\"", "3:7", "http or https", "https://hooks"),
        ("program = \"/a\"\nevents = []", "4:10", "no event is listed", "remove the key"),
        ("program = \"/a\"\nservices = []", "4:12", "no service is listed", "remove the key"),
        ("program = \"/a\"\nevents = [\"down\"]", "4:11", "unknown word `down`", "`backend-down`"),
        (
            "program = \"/a\"\nevents = [\"http://a/secret\"]",
            "4:11",
            "`(hidden)`",
            "`backend-down`",
        ),
        ("urll = \"http://a/secret\"", "3:1", "unknown key `urll`", "did you mean `url`"),
        ("program = [\"/a\", \"b\"]", "3:11", "invalid type: list", "a string"),
        ("program = \"/a\"\ntimeout = \"61s\"", "4:11", "out of range", "1ms to 1m"),
        ("program = \"/a\"\nretries = 11", "4:11", "11 is out of range", "0 to 10"),
        ("program = \"/a\"\n[[notify]]\nprogram = \"/a\"", "4:1", "given twice", "remove"),
    ] {
        let error = with(lines).expect_err(lines);
        assert_shows(&error, place, message, fix);
        assert!(!error.contains("/secret"), "{error}");
        assert_eq!(error.matches("error: ").count(), 1, "one fault, one error: {error}");
    }
    let page = "program = \"/a\"\nservices = [\"wbe\"]\nevents = [\"reloaded\", \"backend-up\"]";
    let other = "[[notify]]\nprogram = \"/a\"";
    let loaded = with(&format!("{page}\n{other}")).expect("the same program, for other events");
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    let [name, event] = &warnings[..] else { panic!("two: {warnings:?}") };
    assert_shows(name, "4:13", "there is no service of this name in this file", "correct the name");
    assert_shows(event, "5:10", "`reloaded` is never told beside `services`", "a [[notify]] table");
    let many: Vec<_> = (0..17).map(|nth| format!("[[notify]]\nprogram = \"/{nth}\"")).collect();
    let error = read(&format!("interfaces = [\"a\"]\n{}", many.join("\n"))).expect_err("many");
    assert_shows(&error, "34:1", "more than 16 recipients", "give 16 at most");
}

#[test]
fn the_connection_log_has_defaults_and_one_target() {
    let with = |lines: &str| read(&format!("interfaces = [\"a\"]\n[connection_log]\n{lines}"));
    let log = with("to = \"/log\"").expect("valid").config.connection_log;
    let expected = ConnectionLog {
        to: LogTarget::File("/log".into()),
        format: LineFormat::Text,
        services: Vec::new(),
        unfinished: false,
        per_second: 10_000,
    };
    assert_eq!(log, Some(expected));
    let log = with("to = \"log\"").expect("valid").config.connection_log.expect("a log");
    assert_eq!(log.to, LogTarget::Log);
    assert_eq!(read("interfaces = [\"a\"]").expect("valid").config.connection_log, None);
    for (lines, place, message, fix) in [
        ("", "2:1", "`to` is missing", "connections.log"),
        ("to = \"connections.log\"", "3:6", "neither an absolute path nor `log`", "/var/log"),
        ("to = \"/var/log/\"", "3:6", "this is a directory", "/var/log/xdplb/connections.log"),
        ("to = \"log\"\nformat = \"json\"", "4:10", "has its own format", "--log-format"),
        ("to = \"/a\"\nformat = \"xml\"", "4:10", "unknown format `xml`", "`json`"),
        ("to = \"/a\"\nper_second = 0", "4:14", "0 is out of range", "1 to 1000000"),
        ("to = \"/a\"\nservices = []", "4:12", "no service is listed", "remove the key"),
        ("to = \"/a\"\nfile = \"/b\"", "4:1", "unknown key `file`", "`to`"),
    ] {
        let error = with(lines).expect_err(lines);
        assert_shows(&error, place, message, fix);
        assert_eq!(error.matches("error: ").count(), 1, "one fault, one error: {error}");
    }
    let loaded = with("to = \"/a\"\nservices = [\"wbe\"]").expect("valid");
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    let [name] = &warnings[..] else { panic!("one: {warnings:?}") };
    assert_shows(name, "4:13", "there is no service of this name in this file", "correct the name");
}

#[test]
fn only_changes_that_need_a_restart_are_refused() {
    let before = read("interfaces = [\"a\"]").expect("valid").config;
    let other = |line: &str| read(&format!("interfaces = [\"b\"]\n{line}")).expect("valid").config;
    before.refuse_restart_only(&other("xdp_mode = \"native\"")).expect("may change");
    for (line, word) in [
        ("bpffs = \"/bpf\"", "`bpffs` has changed: restart"),
        ("api.socket = \"/socket\"", "`api.socket` has changed: restart"),
        ("api.http = \"127.0.0.1:9\"", "`api.http` has changed: restart"),
        ("limits.resets = 5", "`limits.resets` has changed: restart"),
        (
            "limits.flows = 5",
            "`limits.flows` has changed: restart the daemon, which migrates connections",
        ),
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
