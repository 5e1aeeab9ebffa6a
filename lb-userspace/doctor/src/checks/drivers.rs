//! Rules of drivers for native XDP.

use lb_host::printable;

use crate::facts::{Channels, Link, Peer};

use super::veth::peer_command;

/// A rule of a driver that is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) message: String,
    pub(super) fix: String,
}

/// Most CPUs for which ixgbe has queues, each shared by two.
const IXGBE_CPUS: usize = 128;

/// Returns the known reason why the driver of an interface would refuse native XDP.
pub(super) fn obstacle(link: &Link, cpus: Option<usize>) -> Option<Rule> {
    let channels = link.channels.as_ref().ok().copied().flatten();
    match (link.driver.as_deref().ok()?, channels, cpus) {
        // It needs a second set of queues.
        ("ena", Some(Channels { combined, max_combined, .. }), _)
            if combined > max_combined / 2 =>
        {
            Some(Rule {
                message: format!(
                    "ena runs XDP programs only with half of its {max_combined} queues, and has \
                     {combined}"
                ),
                fix: format!("ethtool -L {} combined {}", link.word(), (max_combined / 2).max(1)),
            })
        }
        ("ixgbe", _, Some(cpus)) if cpus > IXGBE_CPUS => Some(Rule {
            message: format!(
                "ixgbe runs XDP programs only with up to 128 CPUs, and there are {cpus}"
            ),
            fix: "xdp_mode = \"generic\", or another network card".to_owned(),
        }),
        ("veth", channels, _) if link.is_native == Ok(false) => Some(Rule {
            message:
                "the other end of the veth pair has more transmit queues than it has receive queues"
                    .to_owned(),
            fix: fewer_at_peer(link, channels.unwrap_or_default().rx.max(1)),
        }),
        _ => None,
    }
}

fn fewer_at_peer(link: &Link, queues: u32) -> String {
    match &link.peer {
        Some(Peer::Seen { name, namespace, .. }) => {
            let name = printable::word(name);
            peer_command(namespace.as_deref(), &format!("ethtool -L {name} tx {queues}"))
        }
        _ => format!("ethtool -L PEER tx {queues}, at the other end"),
    }
}

/// Returns the reason why frames that are redirected to an interface are lost.
pub(super) fn redirect_fault(link: &Link, cpus: usize) -> Option<Rule> {
    let channels = link.channels.as_ref().ok().copied().flatten()?;
    let queues = channels.combined.max(channels.tx);
    let has_less = usize::try_from(queues).is_ok_and(|queues| queues < cpus);
    match link.driver.as_deref().ok()? {
        // They use the queue with the number of the CPU.
        driver @ ("mlx5_core" | "i40e") if has_less => Some(Rule {
            message: format!(
                "{driver} has {queues} queues for {cpus} CPUs: frames that the other CPUs \
                 redirect to it are lost silently"
            ),
            fix: enough(&link.word(), &channels, cpus),
        }),
        _ => None,
    }
}

fn enough(name: &str, channels: &Channels, cpus: usize) -> String {
    let most = channels.max_combined;
    if usize::try_from(most).is_ok_and(|most| most >= cpus) {
        return format!("ethtool -L {name} combined {cpus}");
    }
    format!(
        "let only {most} CPUs receive: ethtool -L OTHER combined {most}, for the interface that \
         the packets come in on"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::made;

    fn card(driver: &str, combined: u32, max_combined: u32) -> Link {
        let channels = Channels { combined, max_combined, ..Channels::default() };
        Link {
            driver: Ok(driver.to_owned()),
            channels: Ok(Some(channels)),
            peer: None,
            ..made::link("eth0", 2)
        }
    }

    #[test]
    fn a_redirect_needs_a_queue_for_each_cpu() {
        for (driver, queues, most, fix) in [
            ("mlx5_core", 8, 16, Some("ethtool -L eth0 combined 16")),
            ("i40e", 15, 16, Some("ethtool -L eth0 combined 16")),
            ("i40e", 4, 8, Some("let only 8 CPUs receive: ethtool -L OTHER combined 8, for")),
            ("mlx5_core", 16, 16, None),
            // They share queues.
            ("ixgbe", 8, 63, None),
            ("ena", 4, 8, None),
            ("ice", 8, 16, None),
        ] {
            let fault = redirect_fault(&card(driver, queues, most), 16);
            let matches = match (&fault, fix) {
                (Some(fault), Some(fix)) => fault.fix.starts_with(fix),
                (found, wanted) => found.is_none() && wanted.is_none(),
            };
            assert!(matches, "{driver} {queues}: {fault:?}");
        }
    }

    #[test]
    fn ena_keeps_half_of_its_queues_for_xdp() {
        let fault = obstacle(&card("ena", 8, 8), Some(8)).expect("refused");
        assert_eq!(fault.fix, "ethtool -L eth0 combined 4");
        assert_eq!(obstacle(&card("ena", 4, 8), Some(8)), None);
    }

    #[test]
    fn ixgbe_has_queues_for_128_cpus() {
        assert!(obstacle(&card("ixgbe", 8, 63), Some(129)).is_some());
        assert_eq!(obstacle(&card("ixgbe", 8, 63), Some(128)), None);
    }
}
