//! Connections of the flow table, as its sweeps find them.

use lb_dataplane::FlowCounts;

use super::{clients::Clients, sweeps::Sweeps};

pub(super) struct Flows {
    pub(super) counts: FlowCounts,
    pub(super) clients: Clients,
    pub(super) sweeps: Sweeps,
}
