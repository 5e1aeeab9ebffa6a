//! The kernel's limit of neighbours.

use std::io;

use futures_util::StreamExt as _;
use rtnetlink::{
    packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        neighbour_table::{NeighbourTableAttribute, NeighbourTableMessage},
    },
};

use lb_host::netlink;

/// Returns `net.ipv4.neigh.default.gc_thresh3`, which is visible in every network namespace this way.
pub async fn neighbour_limit() -> io::Result<Option<u32>> {
    let mut question = NeighbourTableMessage::default();
    question.header.family = AddressFamily::Inet;
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetNeighbourTable(question));
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut answer = netlink::connect()?.request(message).map_err(io::Error::other)?;
    while let Some(message) = answer.next().await {
        if let Some(limit) = limit(message.payload)? {
            return Ok(Some(limit));
        }
    }
    Ok(None)
}

fn limit(payload: NetlinkPayload<RouteNetlinkMessage>) -> io::Result<Option<u32>> {
    let table = match payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbourTable(table)) => table,
        NetlinkPayload::Error(error) => return Err(error.to_io()),
        _ => return Ok(None),
    };
    Ok(table.attributes.iter().find_map(|attribute| match attribute {
        NeighbourTableAttribute::Threshold3(limit) => Some(*limit),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_says_its_limit() {
        let limit = neighbour_limit().await.expect("an answer").expect("a limit");
        assert!(limit > 0);
    }
}
