//! Next hops of clients. That of a connection is learnt from its handshake. Afterwards it changes
//! only with the kernel's routes and neighbours: when a client or a router gets another MAC
//! address, when the route to a client changes, or when a client's packets start to come through
//! another next hop that the kernel uses as well.

mod known;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use anyhow::Result;
use lb_common::event::Event;
use lb_dataplane::{FlowCounts, Search};
use lb_neighbours::Resolution;

pub(super) use self::known::Clients;
use self::known::{Changes, Reached};
use super::daemon::Daemon;

impl Daemon {
    /// Handles a client whose packets come through another hop than the one for its replies.
    pub(super) fn on_client_moved(&mut self, event: &Event) {
        let client = Ipv4Addr::from(event.client);
        if self.flows.clients.ask(client, event.hop, Instant::now()) {
            log::debug!("packets from {client} come through another next hop");
            self.carry_out_changes(Changes { watched: vec![client], ..Changes::default() });
        }
    }

    /// Handles the kernel's next hop of an address, which may be a client's.
    pub(super) fn on_route_to_client(&mut self, address: IpAddr, resolution: &Resolution) {
        let IpAddr::V4(client) = address else { return };
        let Resolution::Resolved(next) = resolution else { return };
        let Ok(hop) = self.network.next_hop(resolution) else { return };
        let reached = Reached { hop, neighbour: next.neighbour };
        let changes = self.flows.clients.resolve(client, reached, Instant::now());
        if changes.is_news {
            log::info!(
                client:% = client, next_hop:% = next.neighbour;
                "replies to a client use another next hop"
            );
        }
        self.carry_out_changes(changes);
    }

    /// Follows the results of a sweep on clients, given its search.
    pub(super) fn follow_clients(
        &mut self,
        looked_for: &Search,
        flow_counts: &FlowCounts,
        begun: Instant,
        written: Option<Result<()>>,
    ) {
        if let Some(written) = written {
            let is_failure = written.is_err();
            if self.flows.clients.note_write(is_failure) {
                match written {
                    Ok(()) => log::info!("next hops of clients can be updated again"),
                    Err(error) => log::error!(
                        "next hops of clients cannot be updated, replies use the old ones: \
                         {error:#}; each sweep tries again"
                    ),
                }
            }
        }
        let changes = self.flows.clients.follow(looked_for, flow_counts, begun, Instant::now());
        self.carry_out_changes(changes);
    }

    fn carry_out_changes(&mut self, changes: Changes) {
        for client in changes.watched {
            self.network.neighbours.watch(client.into());
            self.network.neighbours.tell(client.into());
        }
        for client in changes.forgotten {
            self.network.neighbours.forget(client.into());
        }
        if changes.is_urgent {
            self.flows.sweeps.hurry();
        }
    }
}
