//! What `ethtool` shows of an interface.

use std::{collections::BTreeSet, io};

use ethtool::{
    EthtoolAttr, EthtoolChannelAttr, EthtoolError, EthtoolFeatureAttr, EthtoolHandle,
    EthtoolMessage, EthtoolRingAttr,
};
use futures_util::{Stream, TryStreamExt as _};
use netlink_packet_generic::GenlMessage;
use nix::errno::Errno;

use super::Seen;

/// Numbers of queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Channels {
    pub(crate) rx: u32,
    pub(crate) tx: u32,
    pub(crate) combined: u32,
    pub(crate) max_rx: u32,
    pub(crate) max_tx: u32,
    pub(crate) max_combined: u32,
}

/// Frames that a receive queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rings {
    pub(crate) rx: u32,
    pub(crate) max_rx: u32,
}

pub(super) fn connect() -> io::Result<EthtoolHandle> {
    let (connection, handle, _) = ethtool::new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

/// Returns the names of the features that are on.
pub(super) async fn features(handle: &mut EthtoolHandle, name: &str) -> Seen<BTreeSet<String>> {
    let answer = handle.feature().get(Some(name)).execute().await;
    let mut on = BTreeSet::new();
    for attribute in attributes(answer).await?.unwrap_or_default() {
        if let EthtoolAttr::Feature(EthtoolFeatureAttr::Active(bits)) = attribute {
            on.extend(bits.into_iter().filter(|bit| bit.value).map(|bit| bit.name));
        }
    }
    Ok(on)
}

/// Returns None if the driver has no such numbers.
pub(super) async fn channels(handle: &mut EthtoolHandle, name: &str) -> Seen<Option<Channels>> {
    let answer = handle.channel().get(Some(name)).execute().await;
    let Some(attributes) = attributes(answer).await? else { return Ok(None) };
    let mut channels = Channels::default();
    for attribute in attributes {
        let EthtoolAttr::Channel(attribute) = attribute else { continue };
        match attribute {
            EthtoolChannelAttr::RxCount(count) => channels.rx = count,
            EthtoolChannelAttr::TxCount(count) => channels.tx = count,
            EthtoolChannelAttr::CombinedCount(count) => channels.combined = count,
            EthtoolChannelAttr::RxMax(count) => channels.max_rx = count,
            EthtoolChannelAttr::TxMax(count) => channels.max_tx = count,
            EthtoolChannelAttr::CombinedMax(count) => channels.max_combined = count,
            _ => {}
        }
    }
    Ok(Some(channels))
}

/// Returns None if the driver has no rings.
pub(super) async fn rings(handle: &mut EthtoolHandle, name: &str) -> Seen<Option<Rings>> {
    let answer = handle.ring().get(Some(name)).execute().await;
    let Some(attributes) = attributes(answer).await? else { return Ok(None) };
    let mut rings = Rings::default();
    for attribute in attributes {
        match attribute {
            EthtoolAttr::Ring(EthtoolRingAttr::Rx(count)) => rings.rx = count,
            EthtoolAttr::Ring(EthtoolRingAttr::RxMax(count)) => rings.max_rx = count,
            _ => {}
        }
    }
    Ok(Some(rings))
}

/// Returns the attributes of an answer, or None if the driver does not support the question.
async fn attributes(
    answer: Result<
        impl Stream<Item = Result<GenlMessage<EthtoolMessage>, EthtoolError>>,
        EthtoolError,
    >,
) -> Seen<Option<Vec<EthtoolAttr>>> {
    let messages = match answer {
        Ok(answer) => answer.try_collect::<Vec<_>>().await,
        Err(error) => Err(error),
    };
    match messages {
        Ok(messages) => {
            Ok(Some(messages.into_iter().flat_map(|message| message.payload.nlas).collect()))
        }
        Err(EthtoolError::NetlinkError(error))
            if error.raw_code() == -(Errno::EOPNOTSUPP as i32) =>
        {
            Ok(None)
        }
        Err(error) => Err(format!("ethtool: {error}")),
    }
}
