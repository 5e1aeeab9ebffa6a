//! Faults of the queues of network cards.

use crate::{
    check::{Check, Find},
    facts::{Channels, Link, Site, Spread},
    report::{Cases, Severity},
};

use super::drivers;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "queues-few",
        severity: Severity::Warning,
        meaning: "A network card has fewer receive queues than it could have, so that some CPUs \
            receive nothing.",
        find: Find::OnSite(few),
    },
    Check {
        id: "rss-uneven",
        severity: Severity::Warning,
        meaning: "The table that distributes packets over receive queues (RSS) leaves some out.",
        find: Find::OnSite(uneven),
    },
    Check {
        id: "interrupts-on-one-cpu",
        severity: Severity::Warning,
        meaning: "One CPU handles the interrupts of all queues of a network card.",
        find: Find::OnSite(one_cpu),
    },
    Check {
        id: "redirect-queues",
        severity: Severity::Problem,
        meaning: "A network card lacks a transmit queue for each CPU, and its driver drops what \
            other CPUs redirect to it.",
        find: Find::OnSite(redirect),
    },
];

fn few(site: &Site, cases: &mut Cases<'_>) {
    let Some(cpus) = cases.seen("CPUs", &site.cpus) else { return };
    for link in &site.links {
        let name = link.name();
        let Some(Some(channels)) = cases.seen(name, &link.channels) else { continue };
        let Some((kind, queues, most)) = growing(link, *channels) else { continue };
        let wanted = u32::try_from(*cpus).unwrap_or(u32::MAX).min(most);
        if queues < wanted {
            let message = format!("it has {queues} receive queues for {cpus} CPUs");
            cases.add(name, message, format!("ethtool -L {} {kind} {wanted}", link.word()));
        }
    }
}

/// Returns kind and number of an interface's receive queues, and their maximum.
fn growing(link: &Link, channels: Channels) -> Option<(&'static str, u32, u32)> {
    // A veth's queues are those of a lab, and ena needs half of them for XDP.
    if link.is_veth() {
        return None;
    }
    let is_ena = link.driver.as_deref() == Ok("ena");
    let half = |most: u32| if is_ena { most / 2 } else { most };
    match channels {
        Channels { combined, max_combined, .. } if combined > 0 => {
            Some(("combined", combined, half(max_combined)))
        }
        Channels { rx, max_rx, .. } if rx > 0 => Some(("rx", rx, max_rx)),
        _ => None,
    }
}

fn uneven(site: &Site, cases: &mut Cases<'_>) {
    for link in &site.links {
        let name = link.name();
        let Some(Spread { queues, .. }) = cases.seen(name, &link.spread) else { continue };
        let (Some(used), Ok(Some(channels))) = (queues, &link.channels) else { continue };
        let queues = channels.combined.max(channels.rx);
        if used.len() < usize::try_from(queues).unwrap_or_default() {
            let used = used.len();
            let message = format!("its RSS table uses {used} of {queues} receive queues");
            cases.add(name, message, format!("ethtool -X {} equal {queues}", link.word()));
        }
    }
}

fn one_cpu(site: &Site, cases: &mut Cases<'_>) {
    let Some(all) = cases.seen("CPUs", &site.cpus) else { return };
    for link in &site.links {
        let name = link.name();
        let Some(Spread { interrupts, cpus, .. }) = cases.seen(name, &link.spread) else {
            continue;
        };
        if *interrupts > 1 && cpus.len() == 1 && *all > 1 {
            let message = format!("one CPU of {all} handles its {interrupts} interrupts");
            cases.add(name, message, "apt install irqbalance && systemctl enable --now irqbalance");
        }
    }
}

fn redirect(site: &Site, cases: &mut Cases<'_>) {
    // With one interface, frames leave by the queues that they came in by.
    if site.config.interfaces.len() < 2 {
        return;
    }
    let Some(cpus) = cases.seen("CPUs", &site.cpus) else { return };
    for link in &site.links {
        if let Some(fault) = drivers::redirect_fault(link, *cpus) {
            cases.add(link.name(), fault.message, fault.fix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checks::made, report::found};

    fn site(driver: &str, combined: u32, max_combined: u32) -> Site {
        let mut site = made::site();
        site.cpus = Ok(8);
        let link = &mut site.links[0];
        link.peer = None;
        link.driver = Ok(driver.to_owned());
        link.channels = Ok(Some(Channels { combined, max_combined, ..Channels::default() }));
        site
    }

    #[test]
    fn every_cpu_gets_a_queue_as_far_as_there_are_some() {
        let fix = |site: &Site| found(site, few).first().map(|one| one.fix.clone());
        assert_eq!(fix(&site("ice", 1, 64)).as_deref(), Some("ethtool -L eth0 combined 8"));
        assert_eq!(fix(&site("ice", 1, 4)).as_deref(), Some("ethtool -L eth0 combined 4"));
        assert_eq!(fix(&site("ice", 8, 64)), None);
        assert_eq!(fix(&site("ice", 4, 4)), None);
        assert_eq!(fix(&site("ena", 4, 8)), None, "the other half is for XDP");
    }

    #[test]
    fn every_queue_gets_packets() {
        let mut site = site("ice", 4, 4);
        let using = |queues: &[u32]| {
            Ok(Spread { queues: Some(queues.iter().copied().collect()), ..Spread::default() })
        };
        site.links[0].spread = using(&[0, 1, 2, 3]);
        assert!(found(&site, uneven).is_empty());
        site.links[0].spread = using(&[0, 1]);
        assert_eq!(found(&site, uneven)[0].fix, "ethtool -X eth0 equal 4");
    }

    #[test]
    fn interrupts_are_for_more_than_one_cpu() {
        let mut site = site("ice", 4, 4);
        for (interrupts, cpus, faults) in [(4, &["0"][..], 1), (4, &["0", "1"], 0), (1, &["0"], 0)]
        {
            let cpus = cpus.iter().map(ToString::to_string).collect();
            site.links[0].spread = Ok(Spread { queues: None, interrupts, cpus });
            assert_eq!(found(&site, one_cpu).len(), faults, "{interrupts}");
        }
    }

    #[test]
    fn a_redirect_happens_only_between_two_interfaces() {
        let mut site = site("mlx5_core", 4, 8);
        assert_eq!(found(&site, redirect)[0].fix, "ethtool -L eth0 combined 8");
        site.config.interfaces.pop();
        assert!(found(&site, redirect).is_empty());
    }
}
