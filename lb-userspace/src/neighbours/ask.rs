//! Makes the kernel resolve neighbours, by ARP or neighbour discovery.

use std::net::IpAddr;

use futures_util::future::join_all;
use rtnetlink::{
    Error, Handle,
    packet_route::neighbour::{NeighbourFlags, NeighbourState},
};

use super::{hops::Question, table::NeighbourId};

/// Sends requests; answers arrive as the kernel's events.
pub(super) async fn put(netlink: &Handle, questions: Vec<(NeighbourId, Question)>) {
    join_all(questions.into_iter().map(|(id, question)| put_one(netlink, id, question))).await;
}

async fn put_one(netlink: &Handle, id: NeighbourId, question: Question) {
    let done = match question {
        Question::Where => use_entry(netlink, id).await,
        Question::StillThere => set_state(netlink, id, NeighbourState::Probe).await,
        Question::WhereElse => match set_state(netlink, id, NeighbourState::Failed).await {
            Ok(()) => use_entry(netlink, id).await,
            failed => failed,
        },
    };
    if let Err(error) = done {
        log::debug!("cannot have {} asked for: {error}", id.1);
    }
}

/// Acts like the kernel when it sends a packet: multicasts or broadcasts a request if the neighbour
/// is unknown.
async fn use_entry(netlink: &Handle, (ifindex, neighbour): (u32, IpAddr)) -> Result<(), Error> {
    let entry = netlink.neighbours().add(ifindex, neighbour).state(NeighbourState::None);
    entry.flags(NeighbourFlags::Use).replace().execute().await
}

async fn set_state(
    netlink: &Handle,
    (ifindex, neighbour): (u32, IpAddr),
    state: NeighbourState,
) -> Result<(), Error> {
    netlink.neighbours().add(ifindex, neighbour).state(state).replace().execute().await
}
