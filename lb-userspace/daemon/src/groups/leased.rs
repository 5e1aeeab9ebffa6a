//! The groups with their leases, as they are at any time.

use std::{sync::Arc, time::Duration};

use lb_common::group::Lease;
use lb_dataplane::{Leases, present};
use lb_model::{Group, Refusal, Role, RoleOrder, views::GroupView};

use super::{Groups, extension::in_moments};

/// Clones share the leases.
#[derive(Clone, Debug)]
pub(in super::super) struct LeasedGroups {
    groups: Arc<Groups>,
    leases: Arc<Leases>,
    /// Time of a lease.
    length: Duration,
}

impl LeasedGroups {
    pub(in super::super) fn new(
        groups: Arc<Groups>,
        leases: Arc<Leases>,
        length: Duration,
    ) -> Self {
        Self { groups, leases, length }
    }

    /// Returns all groups, in configured order.
    pub(in super::super) fn views(&self) -> Vec<GroupView> {
        self.groups.iter().map(|(number, group)| self.view(number, group)).collect()
    }

    fn view(&self, number: u32, group: &Group) -> GroupView {
        let (lease, now) = (self.leases.of(number), present());
        GroupView {
            name: group.name.clone(),
            role: role(lease, now),
            epoch: lease.epoch(),
            // The unit of leases is 2^20 ns.
            lease_ms: (lease.left(now) << 20) / 1_000_000,
            vips: group.vips.clone(),
            snat_addresses: group.snat_addresses.clone(),
        }
    }

    fn find(&self, name: &str) -> Result<(u32, &Group), Refusal> {
        self.groups.iter().find(|(_, group)| group.name == name).ok_or_else(|| {
            let names: Vec<_> = self.groups.iter().map(|(_, group)| &*group.name).collect();
            Refusal::NotFound(match names.as_slice() {
                [] => "there are no groups: the configuration has no [[group]]".to_owned(),
                names => format!("there is no group {name}, only {}", names.join(", ")),
            })
        })
    }

    /// Makes this node active or standby for a group. It may be so already.
    pub(super) fn order(&self, name: &str, order: RoleOrder) -> Result<GroupView, Refusal> {
        let (number, group) = self.find(name)?;
        let now = present();
        let changed = self.leases.change(number, |lease| match order {
            RoleOrder::Active if lease.is_active(now) => Some(lease),
            RoleOrder::Active => lease.promoted(lease.epoch() + 1, now, in_moments(self.length)),
            RoleOrder::Standby => Some(lease.demoted()),
        });
        changed.map_err(|lease| {
            Refusal::Failed(format!("{name}: no epoch follows {}", lease.epoch()))
        })?;
        Ok(self.view(number, group))
    }
}

fn role(lease: Lease, now: u64) -> Role {
    if lease.is_active(now) {
        Role::Active
    } else if lease.is_standby() {
        Role::Standby
    } else {
        Role::Expired
    }
}
