//! `doctor` without root and without a daemon.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::Value;
use tempfile::TempDir;

use crate::xdplb;

#[test]
fn a_missing_interface_is_found_by_anybody() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("lb.toml");
    fs::write(&file, "interfaces = [\"nothing0\"]\n").expect("written");
    let arguments = ["doctor", "--socket", "/nowhere/socket", "-c", file.to_str().expect("text")];
    let ended = xdplb(&[&arguments[..], &["-o", "json"]].concat());
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let findings: Vec<Value> = serde_json::from_str(&ended.out).expect("an array");
    let missing = findings.iter().find(|one| one["id"] == "interface-missing").expect("found");
    let keys: Vec<_> = missing.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["id", "severity", "subject", "message", "fix"]);
    assert_eq!(
        (&missing["subject"], &missing["severity"]),
        (&"nothing0".into(), &"problem".into())
    );
    let ended = xdplb(&arguments);
    assert!(ended.out.contains("[interface-missing]\n    fix: correct `interfaces`"), "{ended:?}");
    assert!(ended.out.contains("[daemon-absent]"), "{ended:?}");
}

#[test]
fn an_invalid_file_is_an_error() {
    let ended = xdplb(&["doctor", "--socket", "/nowhere/socket", "-c", "/dev/null"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("interfaces") && ended.out.is_empty(), "{ended:?}");
}

#[test]
fn a_file_that_nobody_writes_holds_nothing_up() {
    let directory = TempDir::new().expect("a directory");
    let pipe = directory.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).expect("made");
    let began = Instant::now();
    let ended = xdplb(&["doctor", "-c", pipe.to_str().expect("text")]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("no answer within 2 s"), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}
