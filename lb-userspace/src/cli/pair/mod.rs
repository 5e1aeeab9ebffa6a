//! `pair`: groups of addresses that one node of a pair serves at a time.

mod keepalived;

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use lb_client::{Client, ClientError};
use lb_dataplane::Leases;
use lb_model::{RoleOrder, views::GroupView};
use serde::Serialize;
use tokio::time::timeout;

use super::{
    args::{GroupName, Output, PairVerb},
    exit::Failure,
    output::{print_json, print_line, print_table, table},
};

/// Time that a daemon has to take note of what is done already: it may be frozen.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a role has become.
#[derive(Serialize)]
struct Changed {
    group: String,
    role: &'static str,
    epoch: u32,
}

pub(super) async fn pair(
    client: &Client,
    verb: PairVerb,
    output: Output,
) -> Result<ExitCode, Failure> {
    let changed = match verb {
        PairVerb::Status => {
            let groups = client.groups().await?;
            if output.is_json() {
                print_json(&groups)?;
            } else {
                print(&groups)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        PairVerb::Keepalived(settings) => {
            print_line(keepalived::of_this_host(&settings)?.trim_end())?;
            return Ok(ExitCode::SUCCESS);
        }
        PairVerb::Ready { need } => return ready(client, need, output).await,
        PairVerb::Promote(GroupName { name }) => {
            let groups = client.groups().await?.into_iter().map(|group| group.name);
            let name = one_of(name, groups.collect())?;
            let view = client.change_role(&name, RoleOrder::Active).await?;
            Changed { group: name, role: view.role.as_str(), epoch: view.epoch }
        }
        PairVerb::Demote { group: GroupName { name }, bpffs } => {
            demote(client, name, &bpffs).await?
        }
    };
    if output.is_json() {
        print_json(&changed)?;
    } else {
        let Changed { group, role, epoch } = changed;
        print_line(&format!("{group}: {role}, epoch {epoch}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn ready(client: &Client, needed: usize, output: Output) -> Result<ExitCode, Failure> {
    let readiness = client.readiness(needed).await?;
    if output.is_json() {
        print_json(&readiness)?;
    } else if readiness.ready {
        print_line("ready")?;
    } else {
        readiness.reasons.iter().try_for_each(|reason| print_line(reason))?;
    }
    Ok(if readiness.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(groups: &[GroupView]) -> Result<(), Failure> {
    if groups.is_empty() {
        print_line("no groups: the configuration has no [[group]]")?;
        return Ok(());
    }
    let mut rows = table(&["GROUP", "ROLE", "EPOCH", "VIPS", "SNAT ADDRESSES"]);
    for GroupView { name, role, epoch, vips, snat_addresses, .. } in groups {
        let listed = |addresses: &[std::net::IpAddr]| {
            let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            all.join(", ")
        };
        let role = role.as_str().to_owned();
        rows.add_row([name.clone(), role, epoch.to_string(), listed(vips), listed(snat_addresses)]);
    }
    print_table(&rows)?;
    Ok(())
}

/// Writes to the map first, which no daemon can delay, and tells the daemon, if there is one.
async fn demote(client: &Client, name: Option<String>, bpffs: &Path) -> Result<Changed, Failure> {
    let leases = Leases::pinned(bpffs);
    if let Ok(Some(leases)) = &leases {
        let groups: Vec<_> = leases.named().collect();
        let name = one_of(name, groups.iter().map(|(_, name)| name.clone()).collect())?;
        let found = groups.iter().find(|(_, known)| *known == name);
        let (number, _) = found.with_context(|| format!("there is no group {name}"))?;
        let lease = leases.change(*number, |lease| Some(lease.demoted()));
        let lease = lease.unwrap_or_else(|lease| lease);
        match timeout(PATIENCE, client.change_role(&name, RoleOrder::Standby)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => log::debug!("the daemon was not told: {error}"),
            Err(_) => log::debug!("the daemon does not answer"),
        }
        return Ok(Changed { group: name, role: "standby", epoch: lease.epoch() });
    }
    let groups = match client.groups().await {
        Ok(groups) => groups,
        Err(absent @ ClientError::Absent { .. }) => {
            return Err(match leases {
                Err(error) => error.context(absent.to_string()).into(),
                Ok(_) => absent.into(),
            });
        }
        Err(error) => return Err(error.into()),
    };
    let name = one_of(name, groups.into_iter().map(|group| group.name).collect())?;
    let view = client.change_role(&name, RoleOrder::Standby).await?;
    Ok(Changed { group: name, role: view.role.as_str(), epoch: view.epoch })
}

/// Returns the group that is meant.
fn one_of(name: Option<String>, mut groups: Vec<String>) -> Result<String> {
    match (name, groups.len()) {
        (_, 0) => bail!("there are no groups: the configuration has no [[group]]"),
        (Some(name), _) if groups.contains(&name) => Ok(name),
        (Some(name), _) => bail!("there is no group {name}, only {}", groups.join(", ")),
        (None, 1) => Ok(groups.remove(0)),
        (None, _) => bail!("give a group: {}", groups.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_group_needs_no_name() {
        let of = |name: Option<&str>, groups: &[&str]| {
            let groups = groups.iter().map(ToString::to_string).collect();
            one_of(name.map(ToOwned::to_owned), groups).map_err(|error| error.to_string())
        };
        assert_eq!(of(None, &["web"]), Ok("web".to_owned()));
        assert_eq!(of(Some("b"), &["a", "b"]), Ok("b".to_owned()));
        assert_eq!(of(None, &["a", "b"]), Err("give a group: a, b".to_owned()));
        let unknown = of(Some("c"), &["a", "b"]);
        assert_eq!(unknown, Err("there is no group c, only a, b".to_owned()));
        for name in [None, Some("a")] {
            assert!(of(name, &[]).is_err_and(|error| error.starts_with("there are no groups")));
        }
    }
}
