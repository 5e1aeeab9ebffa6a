//! The service whose packets are recorded: the program knows it by its VIP.

use std::net::SocketAddr;

use lb_config::desired::named;
use lb_model::{Refusal, views::trace::TraceFilter};

use crate::snapshot::Snapshot;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Followed {
    name: String,
    pub(super) vip: SocketAddr,
}

impl Followed {
    /// Returns the service of a filter, if it has one.
    pub(super) fn of(snapshot: &Snapshot, filter: &TraceFilter) -> Result<Option<Self>, Refusal> {
        let Some(name) = &filter.service else { return Ok(None) };
        let vip = named(&snapshot.document, name)?.vip.address;
        Ok(Some(Self { name: name.clone(), vip }))
    }

    /// Returns why its packets are not recorded any more.
    pub(crate) fn lost(&self, snapshot: &Snapshot) -> Option<String> {
        let name = &self.name;
        match snapshot.document.service(name).map(|service| service.vip.address) {
            None => Some(format!("the service {name} was removed")),
            Some(vip) if vip != self.vip => {
                Some(format!("the VIP of {name} is {vip} now: begin the trace again"))
            }
            Some(_) => None,
        }
    }
}
