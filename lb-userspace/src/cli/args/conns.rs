//! Arguments of `conns`.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use lb_model::connections::{ClientFilter, ConnectionState, MOST, Order};

use super::super::complete;

/// Filters and output of `conns`. A connection must match all filters.
#[derive(Debug, Args)]
pub(in crate::cli) struct Conns {
    /// Connections of this service.
    #[arg(long, value_name = "NAME", add = complete::services())]
    pub(in crate::cli) service: Option<String>,
    /// Connections to this backend.
    #[arg(long, value_name = "ADDR:PORT", value_parser = lb_model::address::read, add = complete::backends())]
    pub(in crate::cli) backend: Option<SocketAddr>,
    /// Connections from this client: ADDR, ADDR:PORT or NETWORK/LENGTH.
    #[arg(long, value_name = "CLIENT")]
    pub(in crate::cli) client: Option<ClientFilter>,
    /// Connections in this state, or in any of several.
    #[arg(long, value_name = "STATE", value_enum, value_delimiter = ',')]
    pub(in crate::cli) state: Vec<ConnectionState>,
    /// Connections without a packet for longer than this.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = lb_config::duration)]
    pub(in crate::cli) idle_over: Option<Duration>,
    /// List the oldest connections, those without a packet for longest, or those with the most bytes, first.
    /// Lists 1,000, or as many as --limit says, 10,000 at most. Bytes need `limits.accounting`, and are
    /// counted from the restart that sets it.
    #[arg(long, value_name = "ORDER", value_enum, conflicts_with = "count")]
    pub(in crate::cli) sort: Option<Order>,
    /// List the newest connections, those with the latest packet, or those with the fewest bytes first.
    #[arg(long, requires = "sort")]
    pub(in crate::cli) reverse: bool,
    /// Print the N clients with the most connections instead, 10,000 at most. The daemon needs 4 bytes
    /// of memory for each connection.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = first,
        conflicts_with_all = ["sort", "limit", "count"]
    )]
    pub(in crate::cli) top: Option<u64>,
    /// Maximum number of connections to list.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = count
    )]
    pub(in crate::cli) limit: Option<u64>,
    /// Print only the number of connections by state.
    #[arg(long)]
    pub(in crate::cli) count: bool,
    #[command(flatten)]
    pub(in crate::cli) end: End,
}

/// How to end connections.
#[derive(Clone, Copy, Debug, Args)]
pub(in crate::cli) struct End {
    /// Kill the connections, at up to 5 % of `limits.resets` per second: both ends get resets. Closed ones are
    /// skipped. Interrupt it to stop.
    #[arg(long, conflicts_with_all = ["sort", "top", "count"])]
    pub(in crate::cli) kill: bool,
    /// Kill more than one connection without asking.
    #[arg(long, requires = "kill")]
    pub(in crate::cli) yes: bool,
    /// Kill all connections, if there is no filter.
    #[arg(long, requires = "kill")]
    pub(in crate::cli) all: bool,
}

fn count(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "give a number of at least 1".to_owned())
}

fn first(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("give a number from 1 to {MOST}"))
}
