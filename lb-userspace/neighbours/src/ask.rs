//! Makes the kernel resolve neighbours, by ARP or neighbour discovery.

use std::net::IpAddr;

use futures_util::future::join_all;
use rtnetlink::{
    Error, Handle,
    packet_route::neighbour::{NeighbourFlags, NeighbourState},
};

use super::{hops::Question, table::NeighbourId};

/// Sends requests; answers arrive as the kernel's events.
///
/// # Errors
///
/// If a request was not sent or not answered. The socket is of no use any more.
pub(super) async fn put(
    netlink: &Handle,
    questions: Vec<(NeighbourId, Question)>,
) -> Result<(), Error> {
    let put = questions.into_iter().map(|(id, question)| put_one(netlink, id, question));
    join_all(put).await.into_iter().collect()
}

async fn put_one(netlink: &Handle, id: NeighbourId, question: Question) -> Result<(), Error> {
    let done = match question {
        Question::Where => use_entry(netlink, id).await,
        Question::StillThere => set_state(netlink, id, NeighbourState::Probe).await,
        Question::WhereElse => match set_state(netlink, id, NeighbourState::Failed).await {
            Ok(()) => use_entry(netlink, id).await,
            failed => failed,
        },
    };
    match done {
        Err(error @ Error::NetlinkError(_)) => {
            log::debug!("the kernel does not probe {}: {error}", id.1);
            Ok(())
        }
        done => done,
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
