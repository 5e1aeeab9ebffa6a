//! Tables and JSON.

use lb_config::desired::Document;
use lb_model::views::ServiceView;
use serde_json::{Value, json};

use crate::{
    daemon::{FakeDaemon, document, web},
    parsed,
};

#[test]
fn services_and_backends_are_printed_as_tables_and_json() {
    let daemon = FakeDaemon::with_connections(0);
    let table = daemon.xdplb(&["service", "list"]).out;
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["web", "203.0.113.10:80/tcp", "nat", "round-robin"], "{table}");
    let row = &lines[2];
    assert_eq!(row[..5], ["->", "10.0.0.11:80", "5", "draining", "up"], "{table}");
    assert_eq!(row[row.len() - 3..], ["0", "17", "L4OK"], "{table}");
    let wide = daemon.xdplb(&["service", "show", "web", "-o", "wide"]).out;
    assert!(wide.contains("56789") && wide.contains("2026-01-02 03:04:05"), "{wide}");
    let settings: Vec<Vec<_>> =
        wide.lines().map(|line| line.split_whitespace().collect()).collect();
    for setting in [
        &["scheduler", "round-robin", "file"][..],
        &["health.interval", "2s"],
        &["backend", "10.0.0.11:80", "weight", "5,", "backup", "command"],
    ] {
        assert!(settings.iter().any(|row| row == setting), "{setting:?}: {wide}");
    }
    let json = daemon.xdplb(&["service", "list", "-o", "json"]).out;
    let services: Vec<ServiceView> = serde_json::from_str(&json).expect("the shape");
    assert_eq!(services, [web(0)]);
    let json = daemon.xdplb(&["backend", "list", "-o", "json"]).out;
    let backends: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(backends[0]["service"], "web");
    assert_eq!(backends[0]["address"], "10.0.0.11:80");
}

#[test]
fn the_output_format_is_accepted_before_and_after_the_verb() {
    let daemon = FakeDaemon::with_connections(0);
    for verb in [
        &["-o", "json", "service", "list"][..],
        &["service", "-o", "json", "list"],
        &["service", "list", "--output=json"],
    ] {
        let ended = daemon.xdplb(verb);
        assert_eq!(parsed(&ended.out)[0]["name"], "web", "{verb:?}: {ended:?}");
    }
}

#[test]
fn a_version_is_shown_with_author_changes_and_services() {
    let daemon = FakeDaemon::with_connections(0);
    let shown = daemon.xdplb(&["history", "7"]).out;
    for part in [
        "version 7, 2026-01-02 03:04:05 UTC, by alice: ",
        "+ web: 10.0.0.11:80: weight 5",
        "[[service]]\nname = \"web\"\nvip = \"203.0.113.10:80\"\n",
        "[[service.backend]]\naddress = \"10.0.0.11:80\"\nweight = 5\n",
        "(hidden)",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(!shown.contains("secret"), "{shown}");
    let json: Value =
        serde_json::from_str(&daemon.xdplb(&["history", "7", "-o", "json"]).out).expect("JSON");
    assert_eq!((&json["version"], &json["by"]), (&json!(7), &json!("alice")));
    assert_eq!(json["steps"].as_array().map(Vec::len), Some(2), "{json}");
    assert!(json["services"].as_str().is_some_and(|text| text.contains("[[service]]")), "{json}");
}

#[test]
fn an_exported_file_leads_to_the_same_configuration() {
    let daemon = FakeDaemon::with_connections(0);
    let ended = daemon.xdplb(&["export"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    if !nix::unistd::geteuid().is_root() {
        assert!(ended.out.contains("(hidden)") && !ended.out.contains("secret"), "{ended:?}");
        return;
    }
    let config = lb_config::read("export".to_owned(), ended.out).expect("valid").config;
    assert_eq!(Document::of(config.services.clone()), document());
    assert_eq!(config.snat_ports, 2_000..=3_000);
}

#[test]
fn an_export_as_json_has_the_keys_of_the_file() {
    let daemon = FakeDaemon::with_connections(0);
    let ended = daemon.xdplb(&["export", "-o", "json"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let exported = parsed(&ended.out);
    assert_eq!(exported["interfaces"], json!(["eth0"]));
    assert_eq!(exported["service"][0]["vip"], "203.0.113.10:80");
    assert_eq!(
        exported["service"][0]["backend"],
        json!([{ "address": "10.0.0.11:80", "weight": 5 }])
    );
}
