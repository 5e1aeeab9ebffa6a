//! Groups of addresses that this node is active or standby for.

mod announcement;
mod extension;
mod leased;
mod roles;

use std::{collections::BTreeMap, time::Duration};

use lb_dataplane::Leases;
use lb_model::Group;

use self::extension::in_moments;
pub(super) use self::{
    extension::Extension,
    leased::LeasedGroups,
    roles::{LOOK, Roles},
};
use super::backends::wire_address;

/// The configured groups, with their numbers in the kernel's maps.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    numbered: Vec<(u32, Group)>,
    /// Numbers of all addresses that are in a group.
    addresses: BTreeMap<[u8; 16], u32>,
}

impl Groups {
    /// Gives each group the number that it had, or a free one.
    #[must_use]
    pub fn numbered(groups: &[Group], leases: &Leases, lease: Duration) -> Self {
        let names: Vec<_> = groups.iter().map(|group| group.name.as_str()).collect();
        Self::with_numbers(
            leases.assign(&names, in_moments(lease)).into_iter().zip(groups.iter().cloned()),
        )
    }

    #[must_use]
    pub fn with_numbers(numbered: impl IntoIterator<Item = (u32, Group)>) -> Self {
        let numbered: Vec<_> = numbered.into_iter().collect();
        let of = |(number, group): &(u32, Group)| {
            let number = *number;
            group.addresses().map(wire_address).map(move |one| (one, number)).collect::<Vec<_>>()
        };
        let addresses = numbered.iter().flat_map(of).collect();
        Self { numbered, addresses }
    }

    /// Returns the groups with their numbers, in configured order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Group)> {
        self.numbered.iter().map(|(number, group)| (*number, group))
    }

    /// Returns the number of the group with this address; 0 if there is none.
    #[must_use]
    pub fn of(&self, address: &[u8; 16]) -> u32 {
        self.addresses.get(address).copied().unwrap_or_default()
    }

    /// Returns the numbers of all addresses that are in a group.
    #[must_use]
    pub fn addresses(&self) -> &BTreeMap<[u8; 16], u32> {
        &self.addresses
    }
}
