//! Faults of the running daemon.

use lb_host::printable;
use lb_model::{
    Admin,
    views::{BackendView, ConnectionLogView, NotificationsView, ServiceView},
};

use crate::{
    check::{Check, Find},
    facts::{Daemon, Process, Running, Site},
    report::{Cases, Severity},
};

use super::some_of;

/// Age of the daemon's state that is late, in seconds: it publishes it every second.
const LATE: f64 = 3.0;

/// Open files that the daemon needs besides those of checks.
const FILES: u64 = 1_024;

/// Capabilities that the daemon needs, with their bits.
const CAPABILITIES: [(&str, u32); 4] =
    [("CAP_NET_ADMIN", 12), ("CAP_NET_RAW", 13), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];

const RESTART: &str = "systemctl restart xdplb (forwarding continues meanwhile)";

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "daemon-absent",
        severity: Severity::Note,
        meaning: "No daemon runs, so only host and file are checked.",
        find: Find::OfDaemon(absent),
    },
    Check {
        id: "daemon-gone",
        severity: Severity::Problem,
        meaning: "The daemon does not run, but has left its socket, or its program on an interface: \
            packets are forwarded, and no backend is checked.",
        find: Find::OfDaemon(gone),
    },
    Check {
        id: "migration-interrupted",
        severity: Severity::Problem,
        meaning: "A daemon was killed in the middle of a migration: packets of connections that a program \
            does not know are dropped, so that new connections may fail, until one with the same `limits` \
            has finished it.",
        find: Find::OnSite(interrupted),
    },
    Check {
        id: "daemon-silent",
        severity: Severity::Problem,
        meaning: "The daemon does not answer.",
        find: Find::OfDaemon(silent),
    },
    Check {
        id: "daemon-elsewhere",
        severity: Severity::Note,
        meaning: "The daemon runs in another network namespace, whose network is not checked \
            from here.",
        find: Find::InRunning(elsewhere),
    },
    Check {
        id: "daemon-late",
        severity: Severity::Problem,
        meaning: "The daemon's loop lags: it has not published its state for seconds.",
        find: Find::InRunning(late),
    },
    Check {
        id: "daemon-capabilities",
        severity: Severity::Problem,
        meaning: "The daemon lacks a capability that it needs.",
        find: Find::InRunning(capabilities),
    },
    Check {
        id: "open-files",
        severity: Severity::Warning,
        meaning: "The daemon may open too few files to check all backends at once.",
        find: Find::InRunning(files),
    },
    Check {
        id: "reload-refused",
        severity: Severity::Warning,
        meaning: "The daemon has refused its configuration file, and runs with an older one.",
        find: Find::InRunning(reload),
    },
    Check {
        id: "connection-log",
        severity: Severity::Warning,
        meaning: "Lines of the connection log are left out.",
        find: Find::InRunning(connection_log),
    },
    Check {
        id: "notifications",
        severity: Severity::Warning,
        meaning: "Notifications do not reach their recipients.",
        find: Find::InRunning(notifications),
    },
    Check {
        id: "service-without-backends",
        severity: Severity::Problem,
        meaning: "A service has no backend that takes connections.",
        find: Find::InRunning(unserved),
    },
];

fn absent(daemon: &Daemon, cases: &mut Cases<'_>) {
    if let Daemon::Absent(reason) = daemon {
        cases.add("daemon", reason, "systemctl start xdplb");
    }
}

fn gone(daemon: &Daemon, cases: &mut Cases<'_>) {
    if let Daemon::Gone(reason) = daemon {
        cases.add(
            "daemon",
            reason,
            "systemctl start xdplb, or xdplb detach to end its connections",
        );
    }
}

fn interrupted(site: &Site, cases: &mut Cases<'_>) {
    if cases.seen("daemon", &site.storage.is_migration_interrupted) != Some(&true) {
        return;
    }
    let message = "it was killed in the middle of a migration: packets of connections that a program does \
        not know are dropped, and new connections may fail, until another daemon has finished it";
    let fix = "systemctl start xdplb, with the `limits` of the daemon that was killed (a start with \
        others is refused, and says which)";
    cases.add("daemon", message, fix);
}

fn silent(daemon: &Daemon, cases: &mut Cases<'_>) {
    match daemon {
        Daemon::Silent(reason) => {
            cases.add("daemon", format!("the daemon hangs: {reason}"), RESTART);
        }
        Daemon::Hidden(reason) => cases.skip("daemon", reason),
        Daemon::Absent(_) | Daemon::Gone(_) | Daemon::Running(_) => {}
    }
}

fn elsewhere(running: &Running, cases: &mut Cases<'_>) {
    if process(running, cases).is_some_and(|process| process.is_elsewhere) {
        let message = "it runs in another network namespace: its interfaces, addresses and routes \
            are not checked";
        let pid = running.status.pid;
        let fix = format!("nsenter --net=/proc/{pid}/ns/net xdplb doctor, with the same --socket");
        cases.add("daemon", message, fix);
    }
}

fn late(running: &Running, cases: &mut Cases<'_>) {
    let age = running.status.state_age_seconds;
    if age > LATE {
        let message = format!("its loop lags: it has not published its state for {age:.0} s");
        cases.add("daemon", message, RESTART);
    }
}

fn process<'a>(running: &'a Running, cases: &mut Cases<'_>) -> Option<&'a Process> {
    cases.seen("daemon", &running.process)
}

fn capabilities(running: &Running, cases: &mut Cases<'_>) {
    let Some(process) = process(running, cases) else { return };
    let is_missing = |(_, bit): &&(&str, u32)| process.capabilities >> bit & 1 == 0;
    let missing: Vec<_> = CAPABILITIES.iter().filter(is_missing).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        let message = format!("it lacks {}", missing.join(", "));
        let fix = format!("systemctl edit xdplb: AmbientCapabilities={}", missing.join(" "));
        cases.add("daemon", message, fix);
    }
}

fn files(running: &Running, cases: &mut Cases<'_>) {
    let Some(process) = process(running, cases) else { return };
    let backends = running.status.backends_total as u64;
    let wanted = FILES + backends;
    if process.files < wanted {
        let message = format!(
            "it may open {} files: {backends} backends wait for each other's checks",
            process.files
        );
        let fix = format!("systemctl edit xdplb: LimitNOFILE={}", wanted.next_power_of_two());
        cases.add("daemon", message, fix);
    }
}

fn reload(running: &Running, cases: &mut Cases<'_>) {
    if let Some(refused) = &running.status.reload_refused {
        let message = format!("it has refused its file: {}", refused.reason);
        let file = printable::word(&running.status.config);
        let fix = format!("xdplb check -c {file}; then systemctl reload xdplb");
        cases.add(&running.status.config, message, fix);
    }
}

fn connection_log(running: &Running, cases: &mut Cases<'_>) {
    let Some(log) = &running.status.connection_log else { return };
    let ConnectionLogView { to, written, left_out } = log;
    if *left_out == 0 {
        return;
    }
    let message =
        format!("{left_out} lines were left out since the daemon started, {written} written");
    let fix = "raise `connection_log.per_second`, or log fewer `services`; `journalctl -u xdplb` \
        tells if it cannot be written";
    cases.add(to, message, fix);
}

fn notifications(running: &Running, cases: &mut Cases<'_>) {
    let Some(view) = running.status.notifications else { return };
    let NotificationsView { delivered, failed, dropped, .. } = view;
    if failed + dropped == 0 {
        return;
    }
    let message = format!(
        "{failed} failed and {dropped} were dropped since the daemon started, {delivered} delivered"
    );
    cases.add(
        "notifications",
        message,
        "journalctl -u xdplb -g 'notifications cannot be delivered' says to whom, and why",
    );
}

fn unserved(running: &Running, cases: &mut Cases<'_>) {
    for ServiceView { name, backends, .. } in &running.services {
        if backends.iter().any(|one| one.in_ring) {
            continue;
        }
        if backends.is_empty() {
            let fix = format!("xdplb backend add {name} ADDRESS:PORT");
            cases.add(name, "it has no backends", fix);
            continue;
        }
        let reasons: Vec<_> = backends.iter().map(unserving).collect();
        let message = format!("no backend takes connections: {}", some_of(&reasons));
        cases.add(name, message, fix_of(name, backends));
    }
}

/// Returns a backend, and why it takes no connections.
fn unserving(backend: &BackendView) -> String {
    let reason = backend.unusable.as_deref().unwrap_or("on standby");
    let says_more = backend.admin == Admin::Enabled && !reason.contains(&backend.detail);
    let detail = if says_more { format!(" ({})", backend.detail) } else { String::new() };
    format!("{} {reason}{detail}", backend.address)
}

/// Returns what makes a backend of a service take connections again.
fn fix_of(service: &str, backends: &[BackendView]) -> String {
    let other = backends.iter().find(|one| one.admin != Admin::Enabled);
    if let Some(BackendView { address, .. }) = other {
        return format!("xdplb backend enable {service} {address}");
    }
    let first = backends[0].address;
    let (ip, port) = (first.ip(), first.port());
    format!(
        "start the servers, or let their firewalls take the checks: as in `ss -ltn sport = :{port}` on {ip}; \
         xdplb service show {service}"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{checks::made, report::found};

    #[test]
    fn a_loop_that_lags_is_a_problem() {
        let mut running = made::running();
        assert!(found(&running, late).is_empty());
        running.status.state_age_seconds = 7.0;
        assert!(found(&running, late)[0].message.ends_with("for 7 s"));
    }

    #[test]
    fn an_interrupted_migration_is_a_problem_until_a_daemon_goes_on() {
        let mut site = made::site();
        assert!(found(&site, interrupted).is_empty());
        site.storage.is_migration_interrupted = Ok(true);
        let problem = &found(&site, interrupted)[0];
        assert!(problem.message.contains("new connections may fail"), "{problem:?}");
        assert!(problem.fix.starts_with("systemctl start xdplb, with the `limits`"), "{problem:?}");
    }

    #[test]
    fn who_may_not_see_the_pins_learns_it() {
        let mut site = made::site();
        site.storage.is_migration_interrupted = Err("permission denied".to_owned());
        assert_eq!(found(&site, interrupted)[0].severity, Severity::NotChecked);
    }

    #[test]
    fn missing_capabilities_are_named() {
        let mut running = made::running();
        assert!(found(&running, capabilities).is_empty());
        let process = Process { files: 4_096, capabilities: 1 << 12, is_elsewhere: false };
        running.process = Ok(process);
        let found = found(&running, capabilities);
        assert_eq!(found[0].message, "it lacks CAP_NET_RAW, CAP_PERFMON, CAP_BPF");
    }

    #[test]
    fn checks_need_files() {
        let mut running = made::running();
        assert!(found(&running, files).is_empty());
        running.status.backends_total = 10_000;
        assert_eq!(found(&running, files)[0].fix, "systemctl edit xdplb: LimitNOFILE=16384");
    }

    #[test]
    fn who_may_not_ask_learns_it() {
        let found = found(&Daemon::Hidden("only for root".to_owned()), silent);
        assert_eq!(found[0].severity, Severity::NotChecked);
    }
    fn backend(admin: &str, unusable: &str) -> BackendView {
        let view = json!({
            "address": "10.0.0.11:80", "weight": 1, "backup": false, "admin": admin, "health": "down",
            "since": "1970-01-01T00:00:00Z", "detail": "L4CON Connection refused",
            "unusable": unusable, "in_ring": false, "active_connections": 0,
            "connections_total": 0, "packets_total": 0, "bytes_total": 0,
        });
        serde_json::from_value(view).expect("a backend")
    }

    #[test]
    fn what_brings_a_service_back_follows_from_its_backends() {
        let (dead, disabled) = (backend("enabled", "down"), backend("disabled", "disabled"));
        assert_eq!(unserving(&dead), "10.0.0.11:80 down (L4CON Connection refused)");
        assert_eq!(unserving(&disabled), "10.0.0.11:80 disabled");
        let both = [dead, disabled];
        assert!(fix_of("web", &both[..1]).starts_with("start the servers"));
        assert_eq!(fix_of("web", &both), "xdplb backend enable web 10.0.0.11:80");
    }

    #[test]
    fn a_program_without_a_daemon_is_a_problem() {
        let absent = || Daemon::Absent("no daemon".to_owned());
        assert!(found(&absent().among(&[]), gone).is_empty());
        let found = found(&absent().among(&[made::link("eth0", 2)]), gone);
        assert!(found[0].message.starts_with("the program on eth0 forwards without it"));
    }
}
