//! This node's roles: their changes, and what is told of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use lb_model::{Event, EventKey, Refusal, Role, RoleOrder, views::GroupView};
use lb_notify::Transition;

use super::{
    Extension, LeasedGroups,
    announcement::{Announcement, v4},
};
use crate::{control::Caller, daemon::Daemon, network};

/// Interval of looks at the kernel's map.
pub(in super::super) const LOOK: Duration = Duration::from_millis(100);

pub(in super::super) struct Roles {
    groups: LeasedGroups,
    /// None if there are no groups.
    extension: Option<Extension>,
    /// Roles that were told last, by group.
    told: BTreeMap<String, Role>,
    announcements: BTreeMap<String, Announcement>,
}

impl Roles {
    pub(in super::super) fn new(groups: LeasedGroups, extension: Option<Extension>) -> Self {
        // A lease that ran out while no daemon was running is news.
        let before = |role| if role == Role::Expired { Role::Active } else { role };
        let views = groups.views().into_iter();
        let told = views.map(|view| (view.name, before(view.role))).collect();
        Self { groups, extension, told, announcements: BTreeMap::new() }
    }

    pub(in super::super) fn are_any(&self) -> bool {
        self.extension.is_some()
    }

    pub(in super::super) fn groups(&self) -> LeasedGroups {
        self.groups.clone()
    }

    /// Returns the VIPs of groups that this node does not serve.
    pub(in super::super) fn vips_elsewhere(&self) -> BTreeSet<IpAddr> {
        let views = self.groups.views().into_iter().filter(|view| view.role != Role::Active);
        views.flat_map(|view| view.vips).collect()
    }

    /// Leaves the next daemon time to start.
    pub(in super::super) fn close(&mut self) {
        if let Some(extension) = self.extension.take() {
            extension.end();
        }
    }

    /// Returns the changes of roles since the last time, by somebody if it is known.
    fn news(&mut self, by: Option<&str>) -> Vec<Transition> {
        let mut news = Vec::new();
        for GroupView { name, role, epoch, .. } in self.groups.views() {
            if self.told.insert(name.clone(), role) == Some(role) {
                continue;
            }
            let event = match role {
                Role::Active => Event::GroupActive,
                Role::Expired => Event::GroupExpired,
                Role::Standby => Event::GroupStandby,
            };
            let told = Transition::new(event).with(EventKey::Group, name);
            let told = told.with(EventKey::Epoch, epoch);
            news.push(match by {
                Some(by) => told.with(EventKey::By, by),
                None => told,
            });
        }
        news
    }
}

impl Daemon {
    /// Makes this node active or standby for a group.
    pub(in super::super) fn change_role(
        &mut self,
        group: &str,
        order: RoleOrder,
        by: &Caller,
    ) -> Result<GroupView, Refusal> {
        self.follow_roles(None);
        let view = self.roles.groups.order(group, order)?;
        self.follow_roles(Some(&by.name));
        Ok(view)
    }

    /// Returns warnings of groups that this node cannot serve as it should.
    pub(in super::super) fn group_warnings(&self) -> Vec<String> {
        let own = network::own(&self.network.addresses);
        let mut warnings = Vec::new();
        for GroupView { name, role, snat_addresses, .. } in self.roles.groups.views() {
            match role {
                Role::Standby => {}
                Role::Expired => warnings.push(format!(
                    "group {name}: the lease has run out, as no daemon extended it: nothing is forwarded until \
                     keepalived or `xdplb pair promote {name}` makes this node active again"
                )),
                Role::Active => {
                    let missing = snat_addresses.iter().filter(|one| !own.contains(one));
                    warnings.extend(missing.map(|one| {
                        format!(
                            "group {name}: this node is active, but {one} of `snat_addresses` is on \
                             no interface"
                        )
                    }));
                }
            }
        }
        let ungrouped = self.document().services().filter_map(|service| {
            let (message, fix) = self.config.ungrouped(service)?;
            Some(format!("{}: {message}, so both nodes serve it: {fix}", service.name))
        });
        warnings.extend(ungrouped);
        warnings
    }

    /// Tells of roles that have changed, and announces the addresses of active groups that have come to this
    /// host.
    pub(in super::super) fn follow_roles(&mut self, by: Option<&str>) {
        let news = self.roles.news(by);
        if !news.is_empty() {
            self.network.unrouted.outdate();
        }
        self.tell_all(news);
        self.announce_addresses();
    }

    /// Announces the addresses of active groups that this host has, once each time that it gets them or becomes
    /// active.
    pub(in super::super) fn announce_addresses(&mut self) {
        for view in self.roles.groups.views() {
            let is_active = view.role == Role::Active;
            let of_group: BTreeSet<_> = view.vips.iter().chain(&view.snat_addresses).collect();
            let own = self.network.addresses.iter();
            let here = own.filter(|(_, address)| is_active && of_group.contains(address));
            let here = here.filter_map(|(ifindex, address)| Some((*ifindex, v4(*address)?)));
            let here = here.collect();
            let (groups, name) = (self.roles.groups.clone(), view.name.clone());
            let announcement = self.roles.announcements.entry(view.name).or_default();
            announcement.set(here, move || groups.is_active(&name));
        }
    }
}
