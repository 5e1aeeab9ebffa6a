//! Exit codes and output of the binary, with a fake daemon.

mod changes;
mod check;
mod completions;
mod daemon;
mod doctor;
mod errors;
mod hostile;
mod output;
mod usage;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_xdplb");

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn xdplb(arguments: &[&str]) -> Ended {
    let ended = Command::new(BINARY).args(arguments).env_remove("RUST_LOG").output();
    Ended::of(ended.expect("runs"))
}

impl Ended {
    fn of(Output { status, stdout, stderr }: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}

fn file(directory: &TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("lb.toml");
    fs::write(&path, text).expect("written");
    path
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
