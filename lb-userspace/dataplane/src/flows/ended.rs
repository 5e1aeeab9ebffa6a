//! Connections that the control plane removes, as the connection log tells them.

use lb_common::{
    ended::{Cause, Ended},
    stats::Count,
    table::{Hit, SharedEntry, SharedTable, partner},
};

use super::Accounts;

/// Where ends of connections are told. None if nobody wants to know.
pub type Ends<'a> = Option<&'a (dyn Fn(Ended) + 'a)>;

/// Describes the connection of a flow that is about to be removed, unless it is none of its own.
pub(crate) fn ended(
    table: SharedTable<'_>,
    accounts: Option<&Accounts>,
    flow: Hit<&SharedEntry>,
    cause: Cause,
) -> Option<Ended> {
    let mut ended = Ended { cause: cause as u32, removed: crate::now(), ..Ended::default() };
    let account = |index| accounts.map_or_else(Count::default, |accounts| accounts.of(index));
    ended.fill(table, flow, partner(table, flow), account).then_some(ended)
}
