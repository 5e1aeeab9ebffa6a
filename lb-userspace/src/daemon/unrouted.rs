//! VIPs that receive no packets, and checks that connect to VIPs.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{Daemon, network::own};
use crate::neighbours::{unrouted, unrouted_message};

/// Interval of route lookups while nothing else changes.
const EVERY: Duration = Duration::from_secs(10);

/// VIPs that no interface has and no route brings.
#[derive(Debug, Default)]
pub(super) struct Unrouted {
    addresses: BTreeSet<IpAddr>,
    /// Time and document version of the last lookup.
    looked: Option<(Instant, u64)>,
}

impl Unrouted {
    /// Requests a lookup soon.
    pub(super) fn outdate(&mut self) {
        self.looked = None;
    }
}

impl Daemon {
    /// Looks up VIPs again, if it is due or they have changed.
    pub(super) async fn follow_vips(&mut self) {
        let version = self.desired.number();
        let is_known =
            self.unrouted.looked.is_some_and(|(at, of)| of == version && at.elapsed() < EVERY);
        if !is_known {
            self.look_for_vips().await;
        }
    }

    /// Finds VIPs that receive no packets, and logs the new ones.
    pub(super) async fn look_for_vips(&mut self) {
        let own = own(&self.addresses);
        let vips = self.document().services().map(|service| service.vip.address.ip());
        let absent: BTreeSet<_> = vips.filter(|address| !own.contains(address)).collect();
        let found = match unrouted(absent).await {
            Ok(found) => found,
            Err(error) => {
                log::debug!("cannot compare VIPs with routes: {error:#}");
                return;
            }
        };
        for address in found.difference(&self.unrouted.addresses) {
            log::warn!("{}", warning(*address));
        }
        self.unrouted =
            Unrouted { addresses: found, looked: Some((Instant::now(), self.desired.number())) };
    }

    pub(super) fn vip_warnings(&self) -> Vec<String> {
        self.unrouted.addresses.iter().map(|address| warning(*address)).collect()
    }

    /// Returns the warning of a VIP, if any.
    pub(super) fn vip_warning(&self, address: IpAddr) -> Option<String> {
        self.unrouted.addresses.contains(&address).then(|| warning(address))
    }

    /// Returns warnings of checks that connect to a VIP: the program does not see packets from this
    /// host.
    pub(super) fn own_check_warnings(&self) -> Vec<String> {
        let asking = self.state.services().filter_map(|service| {
            let address = service.spec.policy.health.request.address?;
            Some((service, address))
        });
        let mut warnings = Vec::new();
        for (service, address) in asking {
            let ports = service.backends.iter().map(|one| {
                service.spec.policy.health.request.port.unwrap_or(one.spec.address.port())
            });
            let ports: BTreeSet<u16> = ports.collect();
            let other = self.document().services().find(|other| {
                other.vip.address.ip() == address && ports.contains(&other.vip.address.port())
            });
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
}

fn warning(address: IpAddr) -> String {
    let (message, fix) = unrouted_message(address);
    format!("{message}: {fix}")
}
