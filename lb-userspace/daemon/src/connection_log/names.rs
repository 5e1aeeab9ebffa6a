//! Names of services, by their VIPs.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use lb_common::mapped;
use lb_model::connections::REMOVED;

use crate::snapshot::Snapshots;

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
        for (place, name) in std::mem::replace(&mut self.present, next) {
            self.former.insert(place, format!("{name}{REMOVED}").into());
        }
    }

    /// Returns the name of the service at a place, or of the one that was there last.
    pub(super) fn of(&self, place: &Place) -> Option<&Arc<str>> {
        self.present.get(place).or_else(|| self.former.get(place))
    }
}
