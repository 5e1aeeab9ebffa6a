//! `pair`: groups of addresses that one node of a pair serves at a time.

mod keepalived;

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use lb_client::{Client, ClientError};
use lb_dataplane::{Leases, lease_time};
use lb_model::{
    Group, Role, RoleOrder,
    views::{GroupView, Readiness},
};
use serde::Serialize;
use tokio::time::timeout;

use super::{
    args::{GroupName, Output, PairVerb},
    exit::Failure,
    output::{print_json, print_line, print_table, table},
};

/// Time for a daemon to say whether it is ready: keepalived waits for a second.
const PATIENCE: Duration = Duration::from_millis(700);

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
        PairVerb::Ready { need, bpffs } => return ready(client, need, &bpffs, output).await,
        PairVerb::Promote(group) => change(client, group, RoleOrder::Active).await?,
        PairVerb::Demote(group) => change(client, group, RoleOrder::Standby).await?,
    };
    if output.is_json() {
        print_json(&changed)?;
    } else {
        let Changed { group, role, epoch } = changed;
        print_line(&format!("{group}: {role}, epoch {epoch}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// While the daemon is restarted, an active node counts as ready for as long as its lease lasts.
async fn ready(
    client: &Client,
    needed: usize,
    bpffs: &Path,
    output: Output,
) -> Result<ExitCode, Failure> {
    let readiness = match timeout(PATIENCE, client.readiness(needed)).await {
        Ok(Ok(readiness)) => readiness,
        Ok(Err(error @ (ClientError::Absent { .. } | ClientError::Broken(_)))) => {
            by_lease(bpffs).ok_or(error)?
        }
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => by_lease(bpffs).unwrap_or_else(|| Readiness {
            ready: false,
            reasons: vec!["the daemon does not answer, and no lease lasts".to_owned()],
        }),
    };
    if output.is_json() {
        print_json(&readiness)?;
    } else if readiness.ready {
        print_line("ready")?;
    } else {
        readiness.reasons.iter().try_for_each(|reason| print_line(reason))?;
    }
    Ok(if readiness.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns that this node is ready if a lease lasts, which the daemon has left for its next start.
fn by_lease(bpffs: &Path) -> Option<Readiness> {
    let leases = Leases::pinned(bpffs).ok().flatten()?;
    let now = lease_time();
    let is_active = leases.named().any(|(number, _)| leases.of(number).is_active(now));
    is_active.then(|| Readiness { ready: true, reasons: Vec::new() })
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

/// Writes to the map, in which a running daemon looks ten times a second: so commands count in the order in which they are
/// given, and none waits for a daemon. Asks the daemon if the map cannot be opened, as by others than root.
async fn change(client: &Client, group: GroupName, order: RoleOrder) -> Result<Changed, Failure> {
    let GroupName { name, bpffs } = group;
    let unopened = match Leases::pinned(&bpffs) {
        Ok(Some(leases)) => return Ok(change_in(&leases, name, order)?),
        Ok(None) => None,
        Err(error) => Some(error),
    };
    let asked = match known(client, name).await {
        Ok(name) => client.change_role(&name, order).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    match (asked, unopened) {
        (Ok(view), _) => {
            let GroupView { name, role, epoch, .. } = view;
            Ok(Changed { group: name, role: role.as_str(), epoch })
        }
        (Err(_), Some(error)) => Err(error.context("nothing has changed").into()),
        (Err(failure), None) => Err(failure),
    }
}

fn change_in(leases: &Leases, name: Option<String>, order: RoleOrder) -> Result<Changed> {
    let groups: Vec<_> = leases.named().collect();
    let name = one_of(name, groups.iter().map(|(_, name)| name.clone()).collect())?;
    let found = groups.iter().find(|(_, known)| *known == name);
    let (number, _) = found.with_context(|| format!("there is no group {name}"))?;
    let (role, lease) = match order {
        RoleOrder::Active => (Role::Active, leases.promote(*number)?),
        RoleOrder::Standby => (Role::Standby, leases.demote(*number)),
    };
    Ok(Changed { group: name, role: role.as_str(), epoch: lease.epoch() })
}

/// Returns the name of a group, the only one's if none is given.
async fn known(client: &Client, name: Option<String>) -> Result<String, Failure> {
    if let Some(name) = name {
        return Ok(name);
    }
    let groups = client.groups().await?.into_iter().map(|group| group.name);
    Ok(one_of(None, groups.collect())?)
}

/// Returns the group that is meant.
fn one_of(name: Option<String>, mut groups: Vec<String>) -> Result<String> {
    match (name, groups.len()) {
        (_, 0) => bail!(Group::NONE),
        (Some(name), _) if groups.contains(&name) => Ok(name),
        (Some(name), _) => bail!(Group::unknown(&name, &groups)),
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
