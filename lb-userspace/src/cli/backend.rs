//! `backend`: where connections go.

use std::{
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::sleep;

use super::{
    args::{BackendAddress, BackendVerb, Output},
    exit::Failure,
    output::print_json,
    service,
};
use crate::{
    api::{Client, NewBackend},
    control::{BackendView, ServiceView, Settings},
    model::Admin,
};

const POLL: Duration = Duration::from_millis(500);

/// By then all packets have been counted that had been given to the backend before the order.
const SETTLED: Duration = Duration::from_millis(100);

/// How long the daemon takes, after a deadline, to end what is left.
const CUT: Duration = Duration::from_secs(3);

/// A backend in a list that may be of all services.
#[derive(Serialize)]
struct Listed<'a> {
    service: &'a str,
    #[serde(flatten)]
    backend: &'a BackendView,
}

async fn list(client: &Client, service: Option<&str>, output: Output) -> Result<ExitCode, Failure> {
    let services = match service {
        Some(name) => vec![client.service(name).await?],
        None => client.services().await?,
    };
    if output.is_json() {
        let backends: Vec<_> = services.iter().flat_map(listed).collect();
        print_json(&backends)?;
    } else {
        service::print(&services, output.format)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(service: &ServiceView) -> impl Iterator<Item = Listed<'_>> {
    service.backends.iter().map(|backend| Listed { service: &service.name, backend })
}

pub(super) async fn change(client: &Client, verb: BackendVerb) -> Result<ExitCode, Failure> {
    match verb {
        BackendVerb::List { service, output } => {
            return list(client, service.as_deref(), output).await;
        }
        BackendVerb::Add { place: BackendAddress { service, address }, weight, backup } => {
            let new = NewBackend { address, weight, backup };
            service::print_warnings([&client.add(&service, &new).await?]);
        }
        BackendVerb::Remove { place: BackendAddress { service, address } } => {
            service::print_warnings([&client.remove(&service, address).await?]);
        }
        BackendVerb::Set { place, weight, backup } => {
            let settings = Settings { weight, backup, ..Settings::default() };
            set(client, &place, settings).await?;
        }
        BackendVerb::Enable { place } => order(client, &place, Admin::Enabled).await?,
        BackendVerb::Disable { place } => order(client, &place, Admin::Disabled).await?,
        BackendVerb::Drain { place, wait, deadline } => {
            let until = deadline.map(after).transpose()?;
            let admin = Some(Admin::Draining);
            set(client, &place, Settings { admin, until, ..Settings::default() }).await?;
            if wait {
                wait_until_idle(client, &place, deadline).await?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn order(client: &Client, place: &BackendAddress, admin: Admin) -> Result<(), Failure> {
    set(client, place, Settings { admin: Some(admin), ..Settings::default() }).await
}

async fn set(client: &Client, place: &BackendAddress, settings: Settings) -> Result<(), Failure> {
    let changed = client.set(&place.service, place.address, &settings).await?;
    service::print_warnings([&changed]);
    Ok(())
}

fn after(time: Duration) -> Result<Timestamp, Failure> {
    let until = Timestamp::now().checked_add(time);
    Ok(until.with_context(|| format!("{time:?} is too long a deadline"))?)
}

async fn wait_until_idle(
    client: &Client,
    place: &BackendAddress,
    deadline: Option<Duration>,
) -> Result<(), Failure> {
    let begin = Instant::now();
    sleep(SETTLED).await;
    loop {
        let service = client.service(&place.service).await?;
        let left = active(&service, place.address)?;
        if left == 0 {
            return Ok(());
        }
        if deadline.is_some_and(|deadline| begin.elapsed() >= deadline + CUT) {
            let address = place.address;
            return Err(
                anyhow!("{address} still has {left} connections, after its deadline").into()
            );
        }
        sleep(POLL).await;
    }
}

fn active(service: &ServiceView, address: SocketAddr) -> Result<u64, Failure> {
    let backend = service.backends.iter().find(|backend| backend.address == address);
    let backend = backend.ok_or_else(|| anyhow!("{address} was removed meanwhile"))?;
    Ok(backend.active_connections)
}
