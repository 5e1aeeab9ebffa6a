//! `service`: services and their settings.

use std::{
    net::{IpAddr, SocketAddr},
    process::ExitCode,
};

use anyhow::anyhow;
use lb_client::Client;
use lb_config::word;
use lb_model::{
    Health, Keys,
    views::{BackendView, ServiceView, Step},
};
use serde_json::{Value, json};

use super::{
    args::{Format, Output, ServiceVerb, Trial},
    changed::Outcome,
    exit::Failure,
    output::{age, align_numbers, print_error, print_json, print_line, print_table, table},
    value,
};

pub(super) async fn change(
    client: Client,
    verb: ServiceVerb,
    output: Output,
) -> Result<ExitCode, Failure> {
    let outcome: Outcome = match verb {
        ServiceVerb::List => return list(&client, output).await,
        ServiceVerb::Show { name } => return show(&client, &name, output).await,
        ServiceVerb::Add { name, keys, backend, force, trial: Trial { dry_run } } => {
            let mut keys = keys.into_keys()?;
            drop_nulls(&mut keys);
            if !keys.contains_key("vip") {
                let missing = "`--vip` is missing: give one, as in --vip 203.0.113.10:80";
                return Err(Failure::Usage(anyhow!(missing)));
            }
            value::put(&mut keys, "name", name.into())?;
            put_backends(&mut keys, &backend)?;
            let client = client.forcing(force).trying(dry_run);
            Outcome::from(client.add_service(&keys).await?).in_dry_run(dry_run)
        }
        ServiceVerb::Set { name, keys, unset, force, trial: Trial { dry_run } } => {
            let mut keys = keys.into_keys()?;
            for path in &unset {
                value::put(&mut keys, path, Value::Null)?;
            }
            if keys.is_empty() {
                let nothing = "nothing to change: give a setting, as in --scheduler maglev";
                return Err(Failure::Usage(anyhow!(nothing)));
            }
            let client = client.forcing(force).trying(dry_run);
            Outcome::from(client.set_service(&name, &keys).await?).in_dry_run(dry_run)
        }
        ServiceVerb::Remove { name, trial: Trial { dry_run } } => {
            let vip = client.service(&name).await?.vip;
            let (version, shown) = client.trying(dry_run).remove_service(&name).await?;
            let steps = shown.map_or_else(|| vec![Step::removal(&name, vip)], |one| one.steps);
            Outcome::of(version, steps).in_dry_run(dry_run)
        }
    };
    outcome.print(output)?;
    Ok(ExitCode::SUCCESS)
}

/// Removes null keys: a new service has defaults anyway.
fn drop_nulls(keys: &mut Keys) {
    keys.retain(|_, value| !value.is_null());
    keys.values_mut().filter_map(Value::as_object_mut).for_each(drop_nulls);
}

/// Adds the backends of `--backend`, with the VIP's port if they have none.
fn put_backends(keys: &mut Keys, backends: &[String]) -> Result<(), Failure> {
    if backends.is_empty() {
        return Ok(());
    }
    let vip = keys.get("vip").and_then(Value::as_str).and_then(|vip| vip.split('/').next());
    let port = vip.and_then(|vip| vip.parse::<SocketAddr>().ok()).map(|vip| vip.port());
    let address = |text: &String| match (text.parse::<IpAddr>(), port) {
        (Ok(ip), Some(port)) => SocketAddr::new(ip, port).to_string(),
        _ => text.clone(),
    };
    let tables = backends.iter().map(|text| json!({ "address": address(text) })).collect();
    value::put(keys, "backend", tables)
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
        return Ok(ExitCode::SUCCESS);
    }
    print(std::slice::from_ref(&service), output.format)?;
    print_line("")?;
    print_settings(&service)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints every setting with its effective value and its origin.
fn print_settings(service: &ServiceView) -> Result<(), Failure> {
    let mut rows = table(&["SETTING", "VALUE", "FROM"]);
    let mut values = vec![("vip".to_owned(), Value::from(service.vip.to_string()))];
    let policy = serde_json::to_value(&service.policy).map_err(anyhow::Error::from)?;
    flatten("", policy, &mut values);
    for (key, value) in values {
        let from = service.origins.get(&key).map(word).unwrap_or_default();
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        rows.add_row([key, text, from]);
    }
    for backend in &service.backends {
        let backup = if backend.backup { ", backup" } else { "" };
        let value = format!("weight {}{backup}", backend.weight);
        let from = backend.origin.as_ref().map(word).unwrap_or_default();
        rows.add_row([format!("backend {}", backend.address), value, from]);
    }
    Ok(print_table(&rows)?)
}

fn flatten(prefix: &str, value: Value, all: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(&key, value, all);
            }
        }
        value => all.push((prefix.to_owned(), value)),
    }
}

/// Prints each service with its backends below, like `ipvsadm -L`.
pub(super) fn print(services: &[ServiceView], format: Format) -> Result<(), Failure> {
    let wide = format == Format::Wide;
    let mut headings =
        vec!["SERVICE", "ADDRESS", "WEIGHT", "STATE", "HEALTH", "SINCE", "ACTIVE", "TOTAL"];
    if wide {
        headings.extend(["PACKETS", "BYTES", "SINCE (UTC)"]);
    }
    headings.push("LAST CHECK");
    let mut rows = table(&headings);
    for service in services {
        let mode = format!("{} {}", word(&service.policy.mode), word(&service.policy.scheduler));
        let vip = format!("{}/{}", service.vip, word(&service.protocol));
        let mut row = vec![service.name.clone(), vip];
        row.resize(headings.len() - 1, String::new());
        row.push(mode);
        rows.add_row(row);
        for backend in &service.backends {
            rows.add_row(backend_row(backend, wide));
        }
    }
    align_numbers(&mut rows, if wide { &[2, 6, 7, 8, 9] } else { &[2, 6, 7] });
    print_table(&rows)?;
    print_warnings(services);
    Ok(())
}

/// Prints current problems of services on standard error.
pub(super) fn print_warnings<'a>(services: impl IntoIterator<Item = &'a ServiceView>) {
    for service in services {
        for warning in &service.warnings {
            print_error(format_args!("warning: {}: {warning}", service.name));
        }
    }
}

fn backend_row(backend: &BackendView, wide: bool) -> Vec<String> {
    let mut row = vec![
        "  ->".to_owned(),
        backend.address.to_string(),
        weight(backend),
        standing(backend),
        word(&backend.health),
        age(backend.since),
        backend.active_connections.to_string(),
        backend.connections_total.to_string(),
    ];
    if wide {
        row.push(backend.packets_total.to_string());
        row.push(backend.bytes_total.to_string());
        row.push(backend.since.strftime("%F %T").to_string());
    }
    row.push(last_check(backend));
    row
}

/// Formats a weight as in `3`, or `0.9 of 3` in a slow start.
fn weight(backend: &BackendView) -> String {
    match backend.slow_start {
        Some(_) => format!("{} of {}", backend.effective_weight, backend.weight),
        None => backend.weight.to_string(),
    }
}

/// Formats whether a backend takes new connections, or the reason if not.
pub(crate) fn standing(backend: &BackendView) -> String {
    if let Some(reason) = &backend.unusable {
        return reason.clone();
    }
    let state = match (backend.in_ring, backend.backup) {
        (true, true) => "backup in use",
        (true, false) => "in use",
        (false, true) => "standby",
        (false, false) => "not in use",
    };
    let slow = backend.slow_start.map(|percent| format!(", slow start {percent} %"));
    let is_ignored = backend.in_ring && backend.health == Health::Down;
    let ignored = if is_ignored { ", health ignored" } else { "" };
    format!("{state}{}{ignored}", slow.unwrap_or_default())
}

/// Formats as in `2 of 3 failures, 1s ago: L4CON Connection refused`.
pub(crate) fn last_check(backend: &BackendView) -> String {
    let Some(check) = &backend.last_check else { return backend.detail.clone() };
    let results = if check.success == Some(true) { "successes" } else { "failures" };
    let count = match check.contrary {
        0 => String::new(),
        count => format!("{count} of {} {results}, ", check.needed),
    };
    format!("{count}{} ago: {}", age(check.at), check.result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(changes: &Value) -> BackendView {
        let mut view = json!({
            "address": "10.0.0.1:80", "weight": 4, "backup": false, "admin": "enabled",
            "health": "up", "since": jiff::Timestamp::now(), "detail": "not checked yet",
            "in_ring": true, "effective_weight": 4.0, "active_connections": 0,
            "connections_total": 0, "packets_total": 0, "bytes_total": 0,
        });
        view.as_object_mut().expect("one").extend(changes.as_object().expect("one").clone());
        serde_json::from_value(view).expect("a backend")
    }

    #[test]
    fn a_backend_shows_if_it_takes_connections_or_why_not() {
        for (changes, expected) in [
            (json!({}), "in use"),
            (json!({ "backup": true }), "backup in use"),
            (json!({ "backup": true, "in_ring": false }), "standby"),
            (json!({ "in_ring": false, "unusable": "no next hop: why" }), "no next hop: why"),
            (json!({ "slow_start": 40, "effective_weight": 1.6 }), "in use, slow start 40 %"),
            (json!({ "health": "down" }), "in use, health ignored"),
        ] {
            assert_eq!(standing(&backend(&changes)), expected, "{changes}");
        }
        let slow = backend(&json!({ "slow_start": 40, "effective_weight": 1.6 }));
        assert_eq!((weight(&slow), weight(&backend(&json!({})))), ("1.6 of 4".into(), "4".into()));
    }

    #[test]
    fn the_last_check_is_shown_with_its_age_and_count() {
        assert_eq!(last_check(&backend(&json!({}))), "not checked yet");
        let check = json!({
            "at": jiff::Timestamp::now(), "success": false, "result": "L4CON refused",
            "contrary": 2, "needed": 3,
        });
        let shown = last_check(&backend(&json!({ "last_check": check })));
        assert!(shown.starts_with("2 of 3 failures, "), "{shown}");
        assert!(shown.ends_with(" ago: L4CON refused"), "{shown}");
    }
}
