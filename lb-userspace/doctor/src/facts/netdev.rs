//! What a driver can do with XDP, by the generic netlink family `netdev`.

use std::fmt::Debug;

use futures_util::StreamExt as _;
use genetlink::GenetlinkError;
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use rtnetlink::packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NlasIterator,
    ParseableParametrized, parse_u64,
};

use super::Seen;

/// `NETDEV_CMD_DEV_GET` of `linux/netdev.h`.
const GET: u8 = 1;

/// `NETDEV_A_DEV_IFINDEX` and `NETDEV_A_DEV_XDP_FEATURES`.
const IFINDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;

/// `NETDEV_XDP_ACT_BASIC`: programs that pass, drop, send back.
const BASIC: u64 = 1;

/// A question about an interface, or the answer.
#[derive(Debug)]
enum Device {
    Get(DefaultNla),
    XdpFeatures(Option<u64>),
}

impl GenlFamily for Device {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        GET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Device {
    fn buffer_len(&self) -> usize {
        match self {
            Self::Get(attribute) => attribute.buffer_len(),
            Self::XdpFeatures(_) => 0,
        }
    }

    fn emit(&self, buffer: &mut [u8]) {
        if let Self::Get(attribute) = self {
            attribute.emit(buffer);
        }
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Device {
    fn parse_with_param(buffer: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        for attribute in NlasIterator::new(buffer) {
            let attribute = attribute?;
            if attribute.kind() == XDP_FEATURES {
                return Ok(Self::XdpFeatures(Some(parse_u64(attribute.value())?)));
            }
        }
        Ok(Self::XdpFeatures(None))
    }
}

/// Returns true if an interface's driver runs XDP programs.
pub(super) async fn is_native(ifindex: u32) -> Seen<bool> {
    const OLD: &str = "the kernel does not say what its drivers can do: that needs Linux 6.3";
    let (connection, mut netlink, _) =
        genetlink::new_connection().map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let attribute = DefaultNla::new(IFINDEX, ifindex.to_ne_bytes().to_vec());
    let question = GenlMessage::from_payload(Device::Get(attribute));
    let mut message = NetlinkMessage::from(question);
    message.header.flags = NLM_F_REQUEST;
    let answer = netlink.request(message).await.map_err(|error| match error {
        GenetlinkError::NetlinkError(error) if error.raw_os_error() == Some(2) => OLD.to_owned(),
        error => error.to_string(),
    })?;
    let mut answer = std::pin::pin!(answer);
    match answer.next().await.map(|message| message.map(|message| message.payload)) {
        Some(Ok(NetlinkPayload::InnerMessage(message))) => match message.payload {
            Device::XdpFeatures(Some(features)) => Ok(features & BASIC != 0),
            _ => Err(OLD.to_owned()),
        },
        Some(Ok(NetlinkPayload::Error(error))) => Err(error.to_io().to_string()),
        _ => Err(OLD.to_owned()),
    }
}
