//! VIPs that receive no packets, and checks that connect to VIPs.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use lb_config::desired::Document;
use lb_model::{Event, EventKey};
use lb_neighbours::{unrouted, unrouted_message};
use lb_notify::Transition;
use tokio::time::timeout;

use super::{daemon::Daemon, network::own, state::State};

/// Interval of route lookups while no VIP changes.
const EVERY: Duration = Duration::from_secs(10);

/// Time limit of the lookup of all routes: the loop waits for it.
const LONGEST: Duration = Duration::from_secs(1);

/// VIPs that no interface has and no route brings.
#[derive(Debug, Default)]
pub(super) struct Unrouted {
    addresses: Arc<BTreeSet<IpAddr>>,
    /// Last lookup, and the VIPs that it was for.
    looked: Option<(Instant, BTreeSet<IpAddr>)>,
}

impl Unrouted {
    /// Requests a lookup soon.
    pub(super) fn outdate(&mut self) {
        self.looked = None;
    }

    /// Returns the addresses, for any thread.
    pub(super) fn addresses(&self) -> Arc<BTreeSet<IpAddr>> {
        Arc::clone(&self.addresses)
    }

    fn is_known(&self, vips: &BTreeSet<IpAddr>) -> bool {
        let is_of = |(at, of): &(Instant, BTreeSet<IpAddr>)| of == vips && at.elapsed() < EVERY;
        self.looked.as_ref().is_some_and(is_of)
    }
}

impl Daemon {
    /// Looks VIPs up again if it is time, or if they have changed. Logs the new ones that no packets come
    /// in for.
    pub(super) async fn follow_vips(&mut self) {
        let vips = self.document().services().map(|service| service.vip.address.ip());
        let absent = self.absent(vips);
        if self.network.unrouted.is_known(&absent) {
            return;
        }
        let found = look_up(&absent).await.unwrap_or_else(|| {
            // Those that were found before, as far as they are there.
            self.network.unrouted.addresses.intersection(&absent).copied().collect()
        });
        let elsewhere = self.roles.vips_elsewhere();
        let vips = self.document().services().map(|service| service.vip.address.ip());
        let vips = vips.filter(|address| !elsewhere.contains(address)).collect();
        self.tell_all(transitions(&self.network.unrouted.addresses, &found, &vips));
        self.network.unrouted =
            Unrouted { addresses: found.into(), looked: Some((Instant::now(), absent)) };
    }

    /// Warnings of VIPs that a change from `former` has brought.
    pub(super) fn new_vip_warnings(&self, former: &State) -> Vec<String> {
        let vips = former.services().map(|service| service.spec.vip.address.ip());
        let former: BTreeSet<_> = vips.collect();
        self.network
            .unrouted
            .addresses
            .difference(&former)
            .map(|address| warning(*address))
            .collect()
    }

    /// Warnings of VIPs that services do not have yet.
    pub(super) async fn warnings_of_vips(
        &self,
        vips: impl IntoIterator<Item = IpAddr>,
    ) -> Vec<String> {
        let found = look_up(&self.absent(vips)).await.unwrap_or_default();
        found.into_iter().map(warning).collect()
    }

    /// Returns the VIPs that no interface of this host has, and should have.
    fn absent(&self, vips: impl IntoIterator<Item = IpAddr>) -> BTreeSet<IpAddr> {
        let (own, elsewhere) = (own(&self.network.addresses), self.roles.vips_elsewhere());
        let is_absent = |address: &IpAddr| !own.contains(address) && !elsewhere.contains(address);
        vips.into_iter().filter(is_absent).collect()
    }

    /// Returns the warning of a service's VIP.
    pub(super) fn vip_warning(&self, address: IpAddr) -> Option<String> {
        self.network.unrouted.addresses.contains(&address).then(|| warning(address))
    }
}

/// Returns warnings of checks that connect to a VIP: the program does not see packets from this
/// host.
pub(super) fn checks_of_vips(state: &State, document: &Document) -> Vec<String> {
    let asking = state.services().filter_map(|service| {
        let address = service.spec.policy.health.request.address?;
        Some((service, address))
    });
    let services = document.services();
    let vips: HashMap<_, _> = services.map(|other| (other.vip.address, other)).collect();
    let mut warnings = Vec::new();
    for (service, address) in asking {
        let ports = service
            .backends
            .iter()
            .map(|one| service.spec.policy.health.request.port.unwrap_or(one.spec.address.port()));
        let ports: BTreeSet<u16> = ports.collect();
        let other = ports.iter().find_map(|port| vips.get(&SocketAddr::new(address, *port)));
        warnings.extend(other.map(|other| {
            format!(
                "{}: its health check connects to {}, the VIP of {}: connections from the \
                 balancer itself are not balanced, and are refused",
                service.spec.name, other.vip, other.name
            )
        }));
    }
    warnings
}

/// Returns a transition of each VIP that no longer or again receives packets.
fn transitions(
    before: &BTreeSet<IpAddr>,
    found: &BTreeSet<IpAddr>,
    vips: &BTreeSet<IpAddr>,
) -> Vec<Transition> {
    let of = |transition: Transition, vip: &IpAddr| transition.with(EventKey::Vip, vip.to_string());
    let lost = found.difference(before).map(|vip| {
        of(Transition::new(Event::VipUnrouted), vip).with(EventKey::Reason, warning(*vip))
    });
    let back = before.difference(found).filter(|address| vips.contains(address));
    let back = back.map(|vip| of(Transition::new(Event::VipRouted), vip));
    lost.chain(back).collect()
}

/// Returns those that no route brings, or None if the kernel cannot be asked in time.
async fn look_up(absent: &BTreeSet<IpAddr>) -> Option<BTreeSet<IpAddr>> {
    let looked = timeout(LONGEST, unrouted(absent.iter().copied())).await;
    let found = looked.context("the kernel does not answer").flatten();
    found.inspect_err(|error| log::debug!("cannot compare VIPs with routes: {error:#}")).ok()
}

/// Returns the warning of a VIP that no interface has and no route brings.
pub(super) fn warning(address: IpAddr) -> String {
    let (message, fix) = unrouted_message(address);
    format!("{message}: {fix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vip_that_returns_is_logged_and_a_removed_one_is_not() {
        let [lost, back, removed] = [1, 2, 3].map(|last| IpAddr::from([203, 0, 113, last]));
        let told = transitions(&[back, removed].into(), &[lost].into(), &[lost, back].into());
        let told: Vec<_> = told.iter().map(|one| (one.event, one.keys().next())).collect();
        let vip = |address: IpAddr| ("vip", address.to_string().into());
        let [lost, back] = [vip(lost), vip(back)];
        let [lost, back] = [&lost, &back].map(|(key, vip)| Some((*key, vip)));
        assert_eq!(told, [(Event::VipUnrouted, lost), (Event::VipRouted, back)]);
    }
}
