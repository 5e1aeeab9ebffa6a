//! Settings that only root may make, and hidden values.

use super::*;
use crate::{Allowed, Checks};

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
        let refused = read(text).expect("valid").refuse_foreign(&checks, &[], None, &allowed);
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
    let shown = refuse(&text("notify = [{ program = \"/bin/id\" }]"));
    assert!(shown.contains("only root may set `notify`: apply it as root"), "{shown}");
    let shown = refuse(&text("connection_log.to = \"/etc/passwd\""));
    assert!(shown.contains("only root may set `connection_log`: apply it as root"), "{shown}");
}

#[test]
fn programs_and_files_of_the_last_file_may_be_reused() {
    let text = format!(
        "interfaces = [\"eth0\"]\n{SERVICE}health = {{ type = \"exec\", command = [\"/bin/id\"] }}\n"
    );
    let loaded = read(&text).expect("valid");
    // A command has since removed the service.
    let allowed = Allowed::by(&loaded.config, &crate::desired::Document::default());
    loaded.refuse_foreign(&loaded.config.checks, &[], None, &allowed).expect("root's own words");
    let other = read(&text.replace("/bin/id", "/bin/sh")).expect("valid");
    other.refuse_foreign(&loaded.config.checks, &[], None, &allowed).expect_err("another program");
}

#[test]
fn a_hidden_value_that_is_sent_back_is_kept() {
    let keys = |health: serde_json::Value| {
        let mut keys = lb_model::Keys::new();
        keys.insert("health".to_owned(), health);
        keys
    };
    let defaults = lb_model::Policy::default();
    let check = serde_json::json!({ "type": "send-expect", "contains": "OK", "send": "AUTH pass" });
    let mut all = keys(check.clone());
    all.insert("vip".to_owned(), "203.0.113.10:80".into());
    let web = crate::service("web", &all, &defaults).expect("valid");
    let hidden = serde_json::json!({ "send": "(hidden)", "contains": "DONE" });
    let changed = crate::changed_service(&web, &keys(hidden.clone()), &defaults).expect("valid");
    assert_eq!(changed.policy.health.request.send.as_deref(), Some("AUTH pass"));
    assert_eq!(changed.policy.health.request.contains.as_deref(), Some("DONE"));
    let mut new =
        keys(serde_json::json!({ "type": "send-expect", "contains": "OK", "send": "(hidden)" }));
    new.insert("vip".to_owned(), "203.0.113.10:80".into());
    let refused = crate::service("new", &new, &defaults).expect_err("nothing to keep").to_string();
    assert!(refused.contains("stands for a value that is not shown"), "{refused}");
}

#[test]
fn a_hidden_url_that_is_sent_back_is_kept() {
    let with = |url: &str, rest: &str| {
        let notify = format!("[[notify]]\nurl = \"{url}\"\n{rest}");
        read(&format!("interfaces = [\"a\"]\n{notify}\n")).expect("valid")
    };
    let running = with("https://a/secret", "retries = 1").config.notify;
    let mut sent = with("(hidden)", "retries = 1");
    sent.keep_hidden(&running).expect("kept");
    assert_eq!(sent.config.notify, running);
    for others in [&running[..], &[]] {
        let refused = with("(hidden)", "retries = 2").keep_hidden(others).expect_err("another");
        assert_shows(&refused.to_string(), "3:7", "value that is not shown", "the URL itself");
    }
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
        ("api.http = \"127.0.0.1:9\"", "api.http"),
        ("api.http_token = \"0123456789abcdef\"", "api.http_token"),
        ("limits.flows = 7", "limits.flows"),
        ("limits.services = 7", "limits.services"),
        ("limits.backends = 7", "limits.backends"),
        ("limits.resets = 7", "limits.resets"),
        ("checks.user = \"daemon\"", "checks.user"),
        ("checks.tls_directories = [\"/\"]", "checks.tls_directories"),
        ("notify = [{ program = \"/bin/id\" }]", "notify"),
        ("notify = [{ url = \"http://10.0.0.1/\" }]", "notify"),
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
