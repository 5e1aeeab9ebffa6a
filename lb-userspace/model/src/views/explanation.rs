//! What would happen to a packet, and why.

use std::{
    fmt,
    net::{SocketAddr, SocketAddrV4},
    str::FromStr,
};

use lb_common::tcp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{connections::Connection, patterns};

/// A packet to explain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PacketQuery {
    #[schemars(with = "String", regex(pattern = patterns::ENDPOINT))]
    pub from: SocketAddrV4,
    #[schemars(with = "String", regex(pattern = patterns::ENDPOINT))]
    pub to: SocketAddrV4,
    /// TCP flags, separated by commas. Without them, an ACK if it belongs to a known connection that is not
    /// closed, else a SYN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = patterns::TCP_FLAGS))]
    pub flags: Option<TcpFlags>,
    /// Ingress interface. Without it, that of the known connection, or of the route to its
    /// sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// Flags of a TCP segment, as `syn,ack`; `none` for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TcpFlags(u8);

const FLAGS: [(&str, u8); 4] =
    [("syn", tcp::SYN), ("ack", tcp::ACK), ("fin", tcp::FIN), ("rst", tcp::RST)];

/// What would happen to a packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    pub packet: PacketView,
    /// `tx`, `pass` or `drop`.
    pub verdict: String,
    pub reason: String,
    /// What the reason means.
    pub meaning: String,
    pub flow: FlowMet,
    /// The known connection that it belongs to, or replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// The service that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How the backend of a new connection is selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// The packet as it leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<SentView>,
    /// Faults of the interfaces that keep the packet from coming in or leaving.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A packet as it arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PacketView {
    pub from: SocketAddr,
    pub to: SocketAddr,
    #[schemars(with = "String")]
    pub flags: TcpFlags,
    pub interface: String,
}

/// A packet as it leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SentView {
    pub from: SocketAddr,
    pub to: SocketAddr,
    #[schemars(with = "String")]
    pub flags: TcpFlags,
    pub interface: String,
    pub from_mac: String,
    /// Absent for an answer to a sender whose MAC address is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_mac: Option<String>,
}

/// What the table of connections knows of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FlowMet {
    /// It is not looked up.
    NotAsked,
    /// It belongs to a known connection.
    Known,
    /// It belongs to none.
    Unknown,
    /// It is a SYN that replaces a connection which is over, refused or abandoned by its backend.
    Replaced,
}

/// Selection of a new connection's backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Selection {
    pub scheduler: String,
    pub certainty: Certainty,
    /// Slot of the ring that the scheduler chooses, from 1 on. Absent if the ring is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// Number of slots.
    pub slots: u32,
    /// The selected backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<SocketAddr>,
    /// All backends of the service, in configured order; then those that were removed and have connections.
    pub candidates: Vec<Candidate>,
}

/// How far a selection is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// This client always gets it, as long as the service's backends are the same.
    Always,
    /// The next connection gets it, whoever opens it.
    Next,
    /// The next connection on the CPU that has explained this gets it.
    NextOnOneCpu,
    /// Another connection may get another one.
    Drawn,
}

/// A backend, and why it is not selected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    pub address: SocketAddr,
    /// Absent for the selected one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

impl TcpFlags {
    pub const SYN: Self = Self(tcp::SYN);
    pub const ACK: Self = Self(tcp::ACK);

    /// Returns those of these bits that have a name here.
    #[must_use]
    pub fn of_bits(bits: u8) -> Self {
        Self(FLAGS.iter().map(|(_, bit)| bit & bits).sum())
    }

    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = FLAGS.iter().filter(|(_, bit)| self.0 & bit != 0).map(|(name, _)| *name);
        let set: Vec<_> = set.collect();
        f.write_str(if set.is_empty() { "none" } else { "" })?;
        f.write_str(&set.join(","))
    }
}

impl From<TcpFlags> for String {
    fn from(flags: TcpFlags) -> Self {
        flags.to_string()
    }
}

impl TryFrom<String> for TcpFlags {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for TcpFlags {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(0));
        }
        let bit = |word: &str| {
            let known = FLAGS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
            known.map(|(_, bit)| bit).ok_or_else(|| {
                format!("`{word}` is not a TCP flag: give some of syn, ack, fin and rst, or none")
            })
        };
        text.split(',').try_fold(Self(0), |Self(bits), word| Ok(Self(bits | bit(word)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_they_are_written() {
        for text in ["syn", "syn,ack", "ack,fin", "ack,rst", "none"] {
            assert_eq!(text.parse::<TcpFlags>().expect(text).to_string(), text);
        }
        assert_eq!("SYN".parse(), Ok(TcpFlags::SYN));
        for text in ["", "sin", "syn,", "syn ack"] {
            text.parse::<TcpFlags>().expect_err(text);
        }
    }
}
