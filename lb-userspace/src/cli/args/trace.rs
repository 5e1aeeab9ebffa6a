//! Arguments of `trace`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, value_parser};
use lb_common::reason::Reason;
use lb_model::{connections::ClientFilter, views::trace::TraceFilter};

use super::super::complete;

/// The packets to record, and where to. A packet must match all filters.
#[derive(Debug, Args)]
pub(in crate::cli) struct Trace {
    /// Packets of this service.
    #[arg(long, value_name = "NAME", add = complete::services())]
    service: Option<String>,
    /// Packets to or from this backend.
    #[arg(long, value_name = "ADDR:PORT", value_parser = lb_model::address::read, add = complete::backends())]
    backend: Option<SocketAddr>,
    /// Packets from or to this client: ADDR, ADDR:PORT or NETWORK/LENGTH.
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientFilter>,
    /// Packets with this reason, or any of several, as shown by `stats -o wide`. Default: all but `not_ours`,
    /// `not_ipv4` and `not_tcp`.
    #[arg(long, value_name = "REASON", value_delimiter = ',', value_parser = reason)]
    reason: Vec<String>,
    /// Record 1 in N packets, chosen at random.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// Maximum number of packets recorded in a second on each CPU. Default: 1000.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Stop after this many packets.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(in crate::cli) count: Option<u64>,
    /// Write the frames to this file in the pcapng format, before and after the rewrite; - for standard
    /// output, as in `| wireshark -k -i -`.
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) write: Option<PathBuf>,
}

impl Trace {
    pub(in crate::cli) fn filter(&self) -> TraceFilter {
        let reason = (!self.reason.is_empty()).then(|| self.reason.join(","));
        let Self { service, backend, client, sample, rate, .. } = self;
        let (service, backend, client) = (service.clone(), *backend, *client);
        TraceFilter { service, backend, client, reason, sample: *sample, rate: *rate }
    }
}

fn reason(text: &str) -> Result<String, String> {
    let is_known = Reason::ALL.iter().any(|reason| reason.as_str() == text);
    if is_known {
        return Ok(text.to_owned());
    }
    Err("`xdplb stats -o wide` lists all reasons".to_owned())
}
