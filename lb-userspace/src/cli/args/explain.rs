//! Arguments of `explain`.

use std::net::SocketAddrV4;

use clap::Args;
use lb_model::views::explanation::{PacketQuery, TcpFlags};

use super::super::complete;

/// The packet to explain.
#[derive(Debug, Args)]
pub(in crate::cli) struct Explain {
    /// Source address and port.
    #[arg(value_name = "CLIENT:PORT", value_parser = endpoint)]
    from: SocketAddrV4,
    /// Destination address and port.
    #[arg(value_name = "VIP:PORT", value_parser = endpoint)]
    to: SocketAddrV4,
    /// A SYN, even if there is such a connection.
    #[arg(long, conflicts_with = "flags")]
    syn: bool,
    /// TCP flags, as in syn,ack. Default: an ACK if there is such a connection that is not closed, else
    /// a SYN.
    #[arg(long, value_name = "FLAGS")]
    flags: Option<TcpFlags>,
    /// Ingress interface. Default: that of the connection, or of the route to its
    /// sender.
    #[arg(long, value_name = "IFACE", add = complete::interfaces())]
    interface: Option<String>,
}

impl Explain {
    pub(in crate::cli) fn query(self) -> PacketQuery {
        let Self { from, to, syn, flags, interface } = self;
        PacketQuery { from, to, flags: flags.or(syn.then_some(TcpFlags::SYN)), interface }
    }
}

fn endpoint(text: &str) -> Result<SocketAddrV4, String> {
    text.parse().map_err(|_| "give an IPv4 address and a port, as in 198.51.100.7:40000".to_owned())
}
