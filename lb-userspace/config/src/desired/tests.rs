mod edits;
mod lost;
mod records;
mod versions;

use std::path::Path;

use lb_model::{Admin, Change, Keys, Policy, Settings};
use serde_json::json;
use tempfile::TempDir;

use super::*;

fn keys(value: serde_json::Value) -> Keys {
    let serde_json::Value::Object(keys) = value else { panic!("no object") };
    keys
}

fn add_service(name: &str, vip: &str) -> Change {
    Change::AddService { name: name.to_owned(), keys: keys(json!({ "vip": vip })) }
}

fn add_backend(service: &str, address: &str) -> Change {
    let backend = lb_model::Backend {
        address: address.parse().expect("an address"),
        weight: 1,
        backup: false,
        admin: Admin::Enabled,
        drain_until: None,
    };
    Change::AddBackend { service: service.to_owned(), backend }
}

fn set_backend(service: &str, address: &str, settings: Settings) -> Change {
    let address = address.parse().expect("an address");
    Change::SetBackend { service: service.to_owned(), address, settings }
}

fn after(changes: &[Change]) -> Document {
    changes.iter().fold(Document::default(), |document, change| {
        edited(&document, change, &Policy::default()).expect("valid")
    })
}

fn web() -> Document {
    after(&[
        add_service("web", "203.0.113.10:80"),
        add_backend("web", "10.0.0.11:80"),
        add_backend("web", "10.0.0.12:80"),
    ])
}

fn author(what: &str) -> Author {
    Author { by: "test".to_owned(), what: what.to_owned(), file: None }
}

fn record(desired: &mut Desired, document: Document, author: Author) -> anyhow::Result<()> {
    runtime().block_on(desired.record(document, author))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

fn record_two(directory: &Path) {
    let mut desired = Desired::open(directory, 0).expect("opens");
    record(&mut desired, web(), author("first")).expect("recorded");
    record(&mut desired, web().without("web"), author("second")).expect("recorded");
}
