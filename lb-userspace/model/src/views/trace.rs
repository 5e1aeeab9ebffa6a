//! Packets as `xdplb trace` records them.

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::explanation::{SentView, TcpFlags};
use crate::{connections::ClientFilter, patterns};

/// Selects the packets to record: those that meet all of this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TraceFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[schemars(regex(pattern = patterns::ADDRESS))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<SocketAddr>,
    /// An address, an address and its port, or a network.
    #[schemars(with = "Option<String>", regex(pattern = patterns::CLIENT))]
    #[serde(with = "crate::connections::text", skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientFilter>,
    /// Names of reasons, separated by commas. Without any, all but `not_ours`, `not_ipv4` and `not_tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One packet of this many is recorded, at random.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<u32>,
    /// Maximum number of packets recorded in a second on each CPU, 1000 by default.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
}

/// A line of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceLine {
    /// The first line: the trace has begun.
    Began(Began),
    Packet(Box<TracedPacket>),
    /// Number of packets so far that matched, but exceeded the rate limit, or what the reader keeps up with.
    LeftOut(u64),
    /// The last line, if the daemon ends the trace.
    Ended(Ended),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Began {
    /// Number of instructions of the program that records packets, and of the one that it replaces for the
    /// time of the trace.
    pub instructions: u32,
    pub usual_instructions: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    pub why: String,
}

/// A packet that was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TracedPacket {
    pub at: Timestamp,
    /// The interface that it came in by.
    pub interface: String,
    pub verdict: String,
    pub reason: String,
    /// The addresses of its IP header, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<[IpAddr; 2]>,
    /// Its addresses and ports, if it is TCP in IPv4 and not a fragment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SocketAddr>,
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<TcpFlags>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<SocketAddr>,
    /// The packet as it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<SentView>,
    /// Bytes of the frame as it came in, and its first bytes in Base64.
    pub length: u32,
    pub frame: String,
    /// Bytes of the frame as the program left it, and its first bytes in Base64.
    pub length_after: u32,
    pub frame_after: String,
}
