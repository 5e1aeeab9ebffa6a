//! VIPs that no packets come in for, and checks that ask at one.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{Daemon, network::own};
use crate::neighbours::{unrouted, unrouted_message};

/// How often routes are looked up while nothing else changes.
const EVERY: Duration = Duration::from_secs(10);

/// VIPs that no interface has and no route brings.
#[derive(Debug, Default)]
pub(super) struct Unrouted {
    addresses: BTreeSet<IpAddr>,
    /// When, and of which version of the document, routes were last looked up.
    looked: Option<(Instant, u64)>,
}

impl Unrouted {
    /// Has routes looked up soon.
    pub(super) fn outdate(&mut self) {
        self.looked = None;
    }
}

impl Daemon {
    /// Looks VIPs up again, if it is time or they have changed.
    pub(super) async fn follow_vips(&mut self) {
        let version = self.desired.number();
        let is_known =
            self.unrouted.looked.is_some_and(|(at, of)| of == version && at.elapsed() < EVERY);
        if !is_known {
            self.look_for_vips().await;
        }
    }

    /// Finds VIPs that no packets come in for, and logs the new ones.
    pub(super) async fn look_for_vips(&mut self) {
        let own = own(&self.addresses);
        let vips = self.document().services().map(|service| service.vip.address.ip());
        let absent: BTreeSet<_> = vips.filter(|address| !own.contains(address)).collect();
        let found = match unrouted(absent).await {
            Ok(found) => found,
            Err(error) => {
                log::debug!("VIPs are not compared with routes: {error:#}");
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

    /// What to say of VIPs that services do not have yet.
    pub(super) async fn warnings_of_vips(
        &self,
        vips: impl IntoIterator<Item = IpAddr>,
    ) -> Vec<String> {
        let own = own(&self.addresses);
        let absent: BTreeSet<_> =
            vips.into_iter().filter(|address| !own.contains(address)).collect();
        match unrouted(absent).await {
            Ok(found) => found.into_iter().map(warning).collect(),
            Err(error) => {
                log::debug!("VIPs are not compared with routes: {error:#}");
                Vec::new()
            }
        }
    }

    /// What to say of one service's VIP.
    pub(super) fn vip_warning(&self, address: IpAddr) -> Option<String> {
        self.unrouted.addresses.contains(&address).then(|| warning(address))
    }

    /// Checks that ask at a VIP, from this host: the program does not see their packets.
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
                    "{}: its health check asks at {}, the VIP of {}: connections from the balancer \
                     itself are not balanced, and are refused",
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
