//! The packets to record, as the program filters them.

use std::net::{IpAddr, SocketAddr};

use lb_common::{capture::Wanted, mapped, reason::Reason};
use lb_dataplane::Capture;
use lb_model::{Refusal, connections::ClientFilter, views::trace::TraceFilter};

use super::followed::Followed;
use crate::snapshot::Snapshot;

const RATE: u32 = 1_000;

/// Reasons that a trace records only if asked: the host's own traffic.
const NOT_USUAL: [Reason; 3] = [Reason::NotOurs, Reason::NotIpv4, Reason::NotTcp];

pub(super) fn capture(
    service: Option<&Followed>,
    filter: &TraceFilter,
) -> Result<Capture, Refusal> {
    let vip = service.map(|service| service.vip);
    Ok(Capture {
        client: filter.client.map(client).unwrap_or_default(),
        vip: vip.map(endpoint).unwrap_or_default(),
        backend: filter.backend.map(endpoint).unwrap_or_default(),
        reasons: reasons(filter.reason.as_deref())?,
        sample: at_least_one("sample", filter.sample.unwrap_or(1))?,
        per_second: at_least_one("rate", filter.rate.unwrap_or(RATE))?,
    })
}

/// Refuses a backend of no service and no connection, of which nothing would ever be recorded.
pub(super) fn refuse_unknown_backend(
    snapshot: &Snapshot,
    filter: &TraceFilter,
) -> Result<(), Refusal> {
    let Some(backend) = filter.backend else { return Ok(()) };
    let wanted = endpoint(backend);
    let mut known = snapshot.state.kernel.entries().values();
    if known.any(|one| wanted.has(one.address, one.port)) {
        return Ok(());
    }
    Err(Refusal::NotFound(format!(
        "no service has the backend {backend}: see `xdplb service list`"
    )))
}

fn endpoint(address: SocketAddr) -> Wanted {
    Wanted::prefix(wire(address.ip()), u128::BITS).with_port(address.port().to_be_bytes())
}

fn client(filter: ClientFilter) -> Wanted {
    let network = filter.network();
    let address = wire(network.addr());
    let bits = u128::BITS - u32::from(network.max_prefix_len()) + u32::from(network.prefix_len());
    let wanted = Wanted::prefix(address, bits);
    filter.port().map_or(wanted, |port| wanted.with_port(port.to_be_bytes()))
}

/// IPv4 as IPv4-mapped.
fn wire(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => mapped(address.octets()),
        IpAddr::V6(address) => address.octets(),
    }
}

fn reasons(names: Option<&str>) -> Result<Vec<Reason>, Refusal> {
    let Some(names) = names else {
        let usual = Reason::ALL.iter().filter(|reason| !NOT_USUAL.contains(reason));
        return Ok(usual.copied().collect());
    };
    let reason = |name: &str| {
        let found = Reason::ALL.iter().find(|reason| reason.as_str() == name).copied();
        found.ok_or_else(|| {
            let all: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
            Refusal::Invalid(format!("`{name}` is no reason: give some of {}", all.join(", ")))
        })
    };
    names.split(',').map(reason).collect()
}

fn at_least_one(key: &str, value: u32) -> Result<u32, Refusal> {
    if value == 0 {
        return Err(Refusal::Invalid(format!("`{key}` must be at least 1")));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_named_or_usual() {
        let usual = reasons(None).expect("all others");
        assert!(usual.contains(&Reason::Forwarded) && !usual.contains(&Reason::NotOurs));
        let named = reasons(Some("not_ours,table_full")).expect("known");
        assert_eq!(named, [Reason::NotOurs, Reason::TableFull]);
        let refused = reasons(Some("forwarded,full")).expect_err("unknown");
        assert!(refused.detail().starts_with("`full` is no reason: give some of forwarded, "));
    }

    #[test]
    fn clients_are_networks_addresses_or_one_port() {
        let of = |text: &str| client(text.parse().expect("a client"));
        let address = |text: &str| wire(text.parse().expect("an address"));
        let port = 40_000_u16.to_be_bytes();
        assert!(of("198.51.100.0/24").has(address("198.51.100.9"), port));
        assert!(!of("198.51.100.0/24").has(address("198.51.101.9"), port));
        assert!(of("198.51.100.9:40000").has(address("198.51.100.9"), port));
        assert!(!of("198.51.100.9:40001").has(address("198.51.100.9"), port));
    }
}
