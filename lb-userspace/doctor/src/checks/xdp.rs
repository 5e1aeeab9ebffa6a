//! Faults of the program's attachment.

use lb_model::{
    XdpMode,
    views::{GuardHook, InterfaceMode, LinkState},
};
use lb_neighbours::AttachMode;

use crate::{
    check::{Check, Find},
    facts::{Attached, Link, Running, Site},
    report::{Cases, Severity},
};

use super::drivers::{self, Rule};

const OTHER_CARD: &str = "use a network card with native XDP (mlx5, ice, i40e, ixgbe, igb, ena, \
    virtio_net), or accept the generic mode: xdp_mode = \"generic\"";

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "xdp-foreign",
        severity: Severity::Problem,
        meaning: "Another XDP program is attached to an interface, and there can only be one.",
        find: Find::OnSite(foreign),
    },
    Check {
        id: "xdp-not-native",
        severity: Severity::Warning,
        meaning: "An interface's driver does not run XDP programs, so the slow generic mode has \
            to do.",
        find: Find::OnSite(not_native),
    },
    Check {
        id: "xdp-generic",
        severity: Severity::Warning,
        meaning: "The program runs in the slow generic mode although the driver runs XDP programs.",
        find: Find::OnSite(generic),
    },
    Check {
        id: "xdp-detached",
        severity: Severity::Problem,
        meaning: "The daemon runs, but its program is not attached to an interface.",
        find: Find::InRunning(detached),
    },
    Check {
        id: "guard-detached",
        severity: Severity::Warning,
        meaning: "The host guard is not attached, so connections end when the program is \
            detached for a moment.",
        find: Find::InRunning(guard_detached),
    },
];

fn foreign(site: &Site, cases: &mut Cases<'_>) {
    for link in &site.links {
        let attached = cases.seen(link.name(), &link.attached);
        if let Some(Attached::Foreign { program, command }) = attached {
            let message = format!("another XDP program is attached ({program})");
            cases.add(link.name(), message, command);
        }
    }
}

fn not_native(site: &Site, cases: &mut Cases<'_>) {
    if site.config.xdp_mode == XdpMode::Generic {
        return;
    }
    let cpus = site.cpus.as_ref().ok().copied();
    for link in site.links.iter().filter(|link| !link.is_loopback && !runs_natively(link)) {
        let name = link.name();
        if let Some(Rule { message, fix }) = drivers::obstacle(link, cpus) {
            cases.add(name, message, fix);
        } else if cases.seen(name, &link.is_native) == Some(&false) {
            let message = format!("its driver ({}) does not run XDP programs", driver(link));
            cases.add(name, message, OTHER_CARD);
        }
    }
}

fn generic(site: &Site, cases: &mut Cases<'_>) {
    for link in &site.links {
        let name = link.name();
        let attached = cases.seen(name, &link.attached);
        let is_generic = attached == Some(&Attached::Ours(AttachMode::Generic));
        // Otherwise, `xdp-not-native` says why.
        let could_be_native = link.is_native == Ok(true);
        if !is_generic || !could_be_native {
            continue;
        }
        let driver = driver(link);
        if site.config.xdp_mode == XdpMode::Generic {
            let message =
                format!("generic mode is configured, but its driver ({driver}) has native XDP");
            cases.add(name, message, "xdp_mode = \"auto\"");
        } else {
            let message = format!("its driver ({driver}) refused native XDP");
            cases.add(name, message, "systemctl reload xdplb tries again; xdplb status says why");
        }
    }
}

fn runs_natively(link: &Link) -> bool {
    matches!(link.attached, Ok(Attached::Ours(AttachMode::Native | AttachMode::Offloaded)))
}

fn driver(link: &Link) -> &str {
    link.driver.as_deref().unwrap_or("unknown")
}

fn detached(running: &Running, cases: &mut Cases<'_>) {
    let interfaces = running.status.interfaces.iter();
    for one in interfaces.filter(|one| one.mode == InterfaceMode::Detached) {
        if one.link != LinkState::Gone {
            let fix = "journalctl -u xdplb says why; systemctl restart xdplb attaches it again";
            cases.add(&one.name, "the program is not attached: nothing is forwarded", fix);
        }
    }
}

fn guard_detached(running: &Running, cases: &mut Cases<'_>) {
    let interfaces = running.status.interfaces.iter();
    for one in interfaces.filter(|one| one.guard == GuardHook::Detached) {
        if one.link != LinkState::Gone {
            let fix = "modprobe cls_bpf sch_ingress, then systemctl restart xdplb";
            cases.add(&one.name, "the host guard is not attached", fix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checks::made, report::found};

    #[test]
    fn the_generic_mode_is_reported_once_with_its_reason() {
        let mut site = made::site();
        site.links[0].attached = Ok(Attached::Ours(AttachMode::Generic));
        assert_eq!(found(&site, generic).len(), 1);
        assert!(found(&site, not_native).is_empty());
        site.links[0].is_native = Ok(false);
        site.links[0].driver = Ok("r8169".to_owned());
        assert!(found(&site, generic).is_empty());
        assert!(found(&site, not_native)[0].message.contains("(r8169)"));
    }

    #[test]
    fn older_kernels_do_not_say_what_drivers_can_do() {
        let mut site = made::site();
        site.links[0].attached = Ok(Attached::Nothing);
        site.links[0].is_native = Err("old".to_owned());
        assert_eq!(found(&site, not_native)[0].severity, Severity::NotChecked);
        site.links[0].attached = Ok(Attached::Ours(AttachMode::Native));
        assert!(found(&site, not_native).is_empty(), "it can, as it does");
    }

    #[test]
    fn programs_that_the_daemon_cannot_attach_are_problems() {
        let mut running = made::running();
        assert!(found(&running, detached).is_empty() && found(&running, guard_detached).is_empty());
        running.status.interfaces[0].mode = InterfaceMode::Detached;
        running.status.interfaces[0].guard = GuardHook::Detached;
        assert_eq!(found(&running, detached).len(), 1);
        assert_eq!(found(&running, guard_detached).len(), 1);
        running.status.interfaces[0].link = LinkState::Gone;
        assert!(found(&running, detached).is_empty(), "the interface is missing");
    }
}
