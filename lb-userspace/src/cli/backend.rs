//! `backend`: backends of services.

use std::{
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use lb_client::Client;
use lb_model::{
    Admin, NewBackend, Settings,
    views::{BackendView, ServiceView},
};
use lb_progress::Progress;
use serde::Serialize;
use tokio::time::sleep;

use super::{
    args::{BackendAddress, BackendVerb, Output, Places},
    changed::Outcome,
    exit::Failure,
    output::{count, print_error, print_json},
    service,
};

const POLL: Duration = Duration::from_millis(500);

/// Time after which all packets forwarded before the change have been counted.
const SETTLED: Duration = Duration::from_millis(100);

/// Time that the daemon takes to end the remaining connections after a deadline.
const CUT: Duration = Duration::from_secs(3);

/// A backend with its service.
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

pub(super) async fn change(
    client: Client,
    verb: BackendVerb,
    output: Output,
) -> Result<ExitCode, Failure> {
    let client = client.trying(verb.is_dry_run());
    let outcome = match verb {
        BackendVerb::List { service } => {
            return list(&client, service.as_deref(), output).await;
        }
        BackendVerb::Add { place: BackendAddress { service, address }, weight, backup, .. } => {
            let new = NewBackend { address, weight, backup };
            client.add(&service, &new).await?.into()
        }
        BackendVerb::Remove { place: BackendAddress { service, address }, .. } => {
            client.remove(&service, address).await?.into()
        }
        BackendVerb::Set { place, weight, backup, .. } => {
            let settings = Settings { weight, backup, ..Settings::default() };
            set(&client, &[place], settings, output).await?
        }
        BackendVerb::Enable { place, .. } => order(&client, place, Admin::Enabled, output).await?,
        BackendVerb::Disable { place, .. } => {
            order(&client, place, Admin::Disabled, output).await?
        }
        BackendVerb::Drain { place, wait, deadline, .. } => {
            let places = places(&client, place).await?;
            let until = deadline.map(after).transpose()?;
            let admin = Some(Admin::Draining);
            let settings = Settings { admin, until, ..Settings::default() };
            let outcome = set(&client, &places, settings, output).await?.until(until);
            if wait
                && !client.is_dry_run()
                && let Err(failure) = wait_for_all(&client, &places, deadline, output).await
            {
                outcome.print(output)?;
                return Err(failure);
            }
            outcome
        }
    };
    outcome.in_dry_run(client.is_dry_run()).print(output)?;
    Ok(ExitCode::SUCCESS)
}

async fn order(
    client: &Client,
    place: Places,
    admin: Admin,
    output: Output,
) -> Result<Outcome, Failure> {
    let places = places(client, place).await?;
    set(client, &places, Settings { admin: Some(admin), ..Settings::default() }, output).await
}

/// Prints the changes before one that fails.
async fn set(
    client: &Client,
    places: &[BackendAddress],
    settings: Settings,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut outcome: Option<Outcome> = None;
    for BackendAddress { service, address } in places {
        let changed = match client.set(service, *address, &settings).await {
            Ok(changed) => changed.into(),
            Err(error) => {
                if let Some(outcome) = outcome {
                    outcome.until(settings.until).in_dry_run(client.is_dry_run()).print(output)?;
                }
                return Err(error.into());
            }
        };
        outcome = Some(match outcome {
            Some(outcome) => outcome.and(changed),
            None => changed,
        });
    }
    Ok(outcome.unwrap_or_default())
}

/// Returns the selected backends, at least one.
async fn places(client: &Client, places: Places) -> Result<Vec<BackendAddress>, Failure> {
    let Places { service, address, all_services } = places;
    if let (Some(service), Some(address)) = (service, address) {
        return Ok(vec![BackendAddress { service, address }]);
    }
    let server = all_services.context("give a service and a backend, or use --all-services")?;
    let mut found = Vec::new();
    for service in client.services().await? {
        let of_it = service.backends.iter().map(|backend| backend.address);
        let of_it = of_it.filter(|address| server.has(*address));
        found
            .extend(of_it.map(|address| BackendAddress { service: service.name.clone(), address }));
    }
    if found.is_empty() {
        return Err(anyhow!("no service has a backend {server}").into());
    }
    Ok(found)
}

impl BackendVerb {
    fn is_dry_run(&self) -> bool {
        match self {
            Self::List { .. } => false,
            Self::Add { trial, .. }
            | Self::Remove { trial, .. }
            | Self::Set { trial, .. }
            | Self::Drain { trial, .. }
            | Self::Enable { trial, .. }
            | Self::Disable { trial, .. } => trial.dry_run,
        }
    }
}

fn after(time: Duration) -> Result<Timestamp, Failure> {
    let until = Timestamp::now().checked_add(time);
    Ok(until.with_context(|| format!("the deadline {time:?} is too long"))?)
}

async fn wait_for_all(
    client: &Client,
    places: &[BackendAddress],
    deadline: Option<Duration>,
    output: Output,
) -> Result<(), Failure> {
    for place in places {
        let left = Left { address: place.address, begin: 0, progress: output.progress() };
        wait_until_idle(client, place, deadline, left).await?;
    }
    Ok(())
}

/// Connections left to a drained backend, as they are shown.
struct Left {
    address: SocketAddr,
    begin: u64,
    progress: Progress,
}

impl Left {
    fn tell(&mut self, left: u64) {
        // Some may still be opened at the begin.
        self.begin = self.begin.max(left);
        let (address, begin) = (self.address, count(self.begin, "connection"));
        let told = format!("{address}: {left} of {begin} left");
        self.progress.tell_part(&told, self.begin - left, self.begin);
    }
}

async fn wait_until_idle(
    client: &Client,
    place: &BackendAddress,
    deadline: Option<Duration>,
    mut shown: Left,
) -> Result<(), Failure> {
    let begin = Instant::now();
    sleep(SETTLED).await;
    let mut before = 0;
    loop {
        let service = client.service(&place.service).await?;
        let left = active(&service, place.address)?;
        if left == 0 {
            shown.progress.clear();
            if before > 0 && deadline.is_some_and(|deadline| begin.elapsed() >= deadline) {
                let (address, ended) = (place.address, count(before, "connection"));
                print_error(format_args!("{address}: {ended} ended at the deadline"));
            }
            return Ok(());
        }
        before = left;
        shown.tell(left);
        if deadline.is_some_and(|deadline| begin.elapsed() >= deadline + CUT) {
            let address = place.address;
            return Err(anyhow!(
                "{address} still has {} after its deadline",
                count(left, "connection")
            )
            .into());
        }
        // Counts once more just before the deadline.
        let rest = deadline.and_then(|deadline| deadline.checked_sub(begin.elapsed() + SETTLED));
        sleep(rest.filter(|rest| !rest.is_zero()).unwrap_or(POLL).min(POLL)).await;
    }
}

fn active(service: &ServiceView, address: SocketAddr) -> Result<u64, Failure> {
    let backend = service.backends.iter().find(|backend| backend.address == address);
    let backend = backend.ok_or_else(|| anyhow!("{address} was removed in the meantime"))?;
    Ok(backend.active_connections)
}
