//! The groups with their leases, as they are at any time.

use std::sync::Arc;

use lb_common::group::Lease;
use lb_dataplane::{Leases, lease_time};
use lb_model::{Group, Refusal, Role, RoleOrder, views::GroupView};

use super::Groups;
use crate::refusals::failed;

/// Clones share the leases.
#[derive(Clone, Debug)]
pub(in super::super) struct LeasedGroups {
    groups: Arc<Groups>,
    leases: Arc<Leases>,
}

impl LeasedGroups {
    pub(in super::super) fn new(groups: Arc<Groups>, leases: Arc<Leases>) -> Self {
        Self { groups, leases }
    }

    /// Returns all groups, in configured order.
    pub(in super::super) fn views(&self) -> Vec<GroupView> {
        self.groups.iter().map(|(number, group)| self.view(number, group)).collect()
    }

    fn view(&self, number: u32, group: &Group) -> GroupView {
        let (lease, now) = (self.leases.of(number), lease_time());
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

    /// Returns true if this node is active for a group at present.
    pub(super) fn is_active(&self, name: &str) -> bool {
        let found = self.groups.iter().find(|(_, group)| group.name == name);
        found.is_some_and(|(number, _)| self.leases.of(number).is_active(lease_time()))
    }

    fn find(&self, name: &str) -> Result<(u32, &Group), Refusal> {
        self.groups.iter().find(|(_, group)| group.name == name).ok_or_else(|| {
            let known: Vec<_> = self.groups.iter().map(|(_, group)| &*group.name).collect();
            Refusal::NotFound(Group::unknown(name, &known))
        })
    }

    /// Makes this node active or standby for a group. It may be so already.
    pub(super) fn order(&self, name: &str, order: RoleOrder) -> Result<GroupView, Refusal> {
        let (number, group) = self.find(name)?;
        match order {
            RoleOrder::Standby => drop(self.leases.demote(number)),
            RoleOrder::Active => drop(self.leases.promote(number).map_err(failed)?),
        }
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
