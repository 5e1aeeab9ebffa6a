//! Names of services, by their VIPs.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use crate::snapshot::Snapshots;
use lb_common::mapped;

/// A VIP, IPv4 as IPv4-mapped, and its port.
pub(super) type Place = ([u8; 16], [u8; 2]);

/// Former names that are kept beyond the present ones, for connections that end with their service.
const MOST_FORMER: usize = 1_024;

#[derive(Debug)]
pub(super) struct Names {
    snapshots: Snapshots,
    /// Number of the document's version that they are of.
    version: Option<u64>,
    present: HashMap<Place, Arc<str>>,
    former: HashMap<Place, Arc<str>>,
}

impl Names {
    pub(super) fn new(snapshots: Snapshots) -> Self {
        let (version, present, former) = Default::default();
        Self { snapshots, version, present, former }
    }

    /// Follows the services.
    pub(super) fn refresh(&mut self) {
        let Some(snapshot) = self.snapshots.borrow().clone() else { return };
        if self.version == Some(snapshot.version) {
            return;
        }
        let services = snapshot.document.services().filter_map(|service| {
            let SocketAddr::V4(vip) = service.vip.address else { return None };
            let place = (mapped(vip.ip().octets()), vip.port().to_be_bytes());
            Some((place, Arc::from(service.name.as_str())))
        });
        self.follow(services.collect());
        self.version = Some(snapshot.version);
    }

    fn follow(&mut self, next: HashMap<Place, Arc<str>>) {
        if self.former.len() > MOST_FORMER {
            self.former.clear();
        }
        self.former.extend(std::mem::replace(&mut self.present, next));
    }

    /// Returns the name of the service at a place, or of the one that was there last.
    pub(super) fn of(&self, place: &Place) -> Option<&Arc<str>> {
        self.present.get(place).or_else(|| self.former.get(place))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    #[test]
    fn a_removed_service_is_known_until_another_one_has_its_vip() {
        let (_published, snapshots) = watch::channel(None);
        let mut names = Names::new(snapshots);
        let place = (mapped([203, 0, 113, 10]), 80_u16.to_be_bytes());
        names.follow([(place, "web".into())].into());
        names.follow(HashMap::new());
        assert_eq!(names.of(&place).map(|name| &**name), Some("web"));
        names.follow([(place, "shop".into())].into());
        assert_eq!(names.of(&place).map(|name| &**name), Some("shop"));
    }
}
