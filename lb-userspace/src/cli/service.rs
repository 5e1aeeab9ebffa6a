//! `service`: what clients connect to.

use std::process::ExitCode;

use serde_json::Value;

use super::{
    args::{Format, Output, ServiceVerb},
    exit::Failure,
    output::{align_numbers, print_json, print_table, table},
};
use crate::{
    api::Client,
    config::word,
    control::{BackendView, Keys, ServiceView},
};

pub(super) async fn change(client: &Client, verb: ServiceVerb) -> Result<ExitCode, Failure> {
    match verb {
        ServiceVerb::List { output } => return list(client, output).await,
        ServiceVerb::Show { name, output } => return show(client, &name, output).await,
        ServiceVerb::Add { name, keys } => {
            let mut keys = keys.into_keys();
            keys.insert("name".to_owned(), name.into());
            client.add_service(&keys).await?;
        }
        ServiceVerb::Set { name, keys, unset } => {
            let mut keys = keys.into_keys();
            for path in &unset {
                put_null(&mut keys, path);
            }
            client.set_service(&name, &keys).await?;
        }
        ServiceVerb::Remove { name } => client.remove_service(&name).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Has a key be null, given as in the file: `slow_start`, `health.path`.
fn put_null(keys: &mut Keys, path: &str) {
    let Some((table, key)) = path.split_once('.') else {
        keys.insert(path.to_owned(), Value::Null);
        return;
    };
    let table = keys.entry(table).or_insert_with(|| Keys::new().into());
    if let Value::Object(table) = table {
        table.insert(key.to_owned(), Value::Null);
    }
}

async fn list(client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let services = client.services().await?;
    if output.is_json() {
        print_json(&services)?;
    } else {
        print(&services, output.format)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(client: &Client, name: &str, output: Output) -> Result<ExitCode, Failure> {
    let service = client.service(name).await?;
    if output.is_json() {
        print_json(&service)?;
    } else {
        print(std::slice::from_ref(&service), output.format)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Each service, and under it its backends, as `ipvsadm -L` has them.
pub(super) fn print(services: &[ServiceView], format: Format) -> Result<(), Failure> {
    let wide = format == Format::Wide;
    let mut headings = vec!["SERVICE", "ADDRESS", "WEIGHT", "ADMIN", "HEALTH", "ACTIVE", "TOTAL"];
    if wide {
        headings.extend(["PACKETS", "BYTES", "SINCE"]);
    }
    headings.push("DETAIL");
    let mut rows = table(&headings);
    for service in services {
        let mode = format!("{} {}", word(&service.mode), word(&service.scheduler));
        let vip = format!("{}/{}", service.vip, word(&service.protocol));
        let mut row = vec![service.name.clone(), vip];
        row.resize(headings.len() - 1, String::new());
        row.push(mode);
        rows.add_row(row);
        for backend in &service.backends {
            rows.add_row(backend_row(backend, wide));
        }
    }
    align_numbers(&mut rows, if wide { &[2, 5, 6, 7, 8] } else { &[2, 5, 6] });
    Ok(print_table(&rows)?)
}

fn backend_row(backend: &BackendView, wide: bool) -> Vec<String> {
    let mut row = vec![
        "  ->".to_owned(),
        backend.address.to_string(),
        format!("{}{}", backend.weight, if backend.backup { " backup" } else { "" }),
        word(&backend.admin),
        word(&backend.health),
        backend.active_connections.to_string(),
        backend.connections_total.to_string(),
    ];
    if wide {
        row.push(backend.packets_total.to_string());
        row.push(backend.bytes_total.to_string());
        row.push(backend.since.strftime("%F %T UTC").to_string());
    }
    row.push(backend.detail.clone());
    row
}
