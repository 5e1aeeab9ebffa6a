//! Metrics of the daemon and its host.

use std::fmt;

use lb_dataplane::Runs;
use lb_model::{
    Role, XdpMode,
    views::{InterfaceMode, LinkState},
};
use nix::sys::resource::{Resource, getrlimit};
use procfs::{WithCurrentSystemInfo as _, process::Process};

use super::{Kind, Metric, samples::Samples};

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "build",
        kind: Kind::Info,
        help: "The running version.",
        labels: &["version"],
        write: |of, to| to.info(&[("version", &of.status.version)]),
    },
    Metric {
        name: "process_start_time_seconds",
        kind: Kind::Gauge,
        help: "Start of the daemon, in seconds since 1970.",
        labels: &[],
        write: |of, to| to.gauge(&[], of.status.started.as_duration().as_secs_f64()),
    },
    Metric {
        name: "state_age_seconds",
        kind: Kind::Gauge,
        help: "Time since the daemon's loop has published its state: it does so every second.",
        labels: &[],
        write: |of, to| to.gauge(&[], of.age.as_secs_f64()),
    },
    Metric {
        name: "config_version",
        kind: Kind::Gauge,
        help: "Version of the running configuration, as in xdplb history.",
        labels: &[],
        write: |of, to| to.count(&[], of.version),
    },
    Metric {
        name: "config_reloads",
        kind: Kind::Counter,
        help: "Reloads of the configuration file, by result.",
        labels: &["result"],
        write: |of, to| {
            to.counter(&[("result", "applied")], of.tally.reloads)?;
            to.counter(&[("result", "refused")], of.tally.refused_reloads)
        },
    },
    Metric {
        name: "config_reload_refused",
        kind: Kind::Gauge,
        help: "1 if the last reload of the configuration file was refused.",
        labels: &[],
        write: |of, to| to.flag(&[], of.status.reload_refused.is_some()),
    },
    Metric {
        name: "journal_bytes",
        kind: Kind::Gauge,
        help: "Size of the journal in state_dir, with the versions of the configuration.",
        labels: &[],
        write: |of, to| to.count(&[], of.journal.bytes),
    },
    Metric {
        name: "journal_records",
        kind: Kind::Gauge,
        help: "Versions of the configuration in the journal.",
        labels: &[],
        write: |of, to| to.count(&[], of.journal.records),
    },
    Metric {
        name: "warnings",
        kind: Kind::Gauge,
        help: "Number of warnings that xdplb status shows.",
        labels: &[],
        write: |of, to| to.count(&[], of.status.warnings.len() as u64),
    },
    Metric {
        name: "notifications",
        kind: Kind::Counter,
        help: "Notifications of changes of state, by result; failed: after all attempts, dropped: left out.",
        labels: &["result"],
        write: |of, to| {
            to.counter(&[("result", "delivered")], of.notifications.delivered)?;
            to.counter(&[("result", "failed")], of.notifications.failed)?;
            to.counter(&[("result", "dropped")], of.notifications.dropped)
        },
    },
    Metric {
        name: "notifications_queued",
        kind: Kind::Gauge,
        help: "Notifications that wait for their recipients.",
        labels: &[],
        write: |of, to| to.count(&[], of.notifications.queued),
    },
    Metric {
        name: "connection_log_lines",
        kind: Kind::Counter,
        help: "Lines of the connection log, by result; left_out: beyond per_second, or they could not be written.",
        labels: &["result"],
        write: |of, to| {
            to.counter(&[("result", "written")], of.connection_log.written)?;
            to.counter(&[("result", "left_out")], of.connection_log.left_out)
        },
    },
    Metric {
        name: "interface_up",
        kind: Kind::Gauge,
        help: "1 if the link of the interface is up.",
        labels: &["interface"],
        write: |of, to| {
            let mut interfaces = of.status.interfaces.iter();
            interfaces
                .try_for_each(|one| to.flag(&[("interface", &one.name)], one.link == LinkState::Up))
        },
    },
    Metric {
        name: "xdp_mode",
        kind: Kind::Info,
        help: "The mode that the program is attached in.",
        labels: &["interface", "mode"],
        write: |of, to| {
            let mut interfaces = of.status.interfaces.iter();
            interfaces
                .try_for_each(|one| to.info(&[("interface", &one.name), ("mode", mode(one.mode))]))
        },
    },
    Metric {
        name: "xdp_mode_wanted",
        kind: Kind::Info,
        help: "The configured XDP mode.",
        labels: &["mode"],
        write: |of, to| to.info(&[("mode", wanted(of.xdp_mode))]),
    },
    Metric {
        name: "group_active",
        kind: Kind::Gauge,
        help: "1 if this node is active for the group of addresses.",
        labels: &["group"],
        write: |of, to| {
            let mut groups = of.status.groups.iter();
            groups.try_for_each(|one| to.flag(&[("group", &one.name)], one.role == Role::Active))
        },
    },
    Metric {
        name: "program_runs",
        kind: Kind::Counter,
        help: "Frames that the program has run for, without those during traces; absent until the kernel \
            counts runs, as sysctl kernel.bpf_stats_enabled=1 makes it do.",
        labels: &[],
        write: |of, to| if_counted(of.runs, |runs| to.counter(&[], runs.count)),
    },
    Metric {
        name: "program_run_seconds",
        kind: Kind::Counter,
        help: "Time that the program has run for these frames, in seconds; absent like them.",
        labels: &[],
        write: |of, to| if_counted(of.runs, |runs| to.counter(&[], runs.time.as_secs_f64())),
    },
    Metric {
        name: "process_cpu_seconds",
        kind: Kind::Counter,
        help: "CPU time of the daemon, in seconds.",
        labels: &[],
        write: |_, to| {
            of_process(to, |to, process| {
                let Ok(stat) = process.stat() else { return Ok(()) };
                #[expect(clippy::cast_precision_loss, reason = "2^53 is enough")]
                let seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
                to.counter(&[], seconds)
            })
        },
    },
    Metric {
        name: "process_resident_memory_bytes",
        kind: Kind::Gauge,
        help: "Resident memory of the daemon, with what it has read of its program file and of the kernel's maps.",
        labels: &[],
        write: |_, to| {
            of_process(to, |to, process| {
                let Ok(stat) = process.stat() else { return Ok(()) };
                to.count(&[], stat.rss_bytes().get())
            })
        },
    },
    Metric {
        name: "process_anonymous_memory_bytes",
        kind: Kind::Gauge,
        help: "Resident memory of the daemon alone, without files and the kernel's maps.",
        labels: &[],
        write: |_, to| {
            of_process(to, |to, process| {
                let status = process.status().ok();
                let Some(kibibytes) = status.and_then(|status| status.rssanon) else {
                    return Ok(());
                };
                to.count(&[], kibibytes * 1_024)
            })
        },
    },
    Metric {
        name: "process_open_fds",
        kind: Kind::Gauge,
        help: "Open files of the daemon.",
        labels: &[],
        write: |_, to| {
            of_process(to, |to, process| {
                let Ok(count) = process.fd_count() else { return Ok(()) };
                to.count(&[], count as u64)
            })
        },
    },
    Metric {
        name: "process_max_fds",
        kind: Kind::Gauge,
        help: "Maximum number of open files of the daemon.",
        labels: &[],
        write: |_, to| match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((limit, _)) => to.count(&[], limit),
            Err(error) => {
                log::debug!("the limit of open files is unknown: {error}");
                Ok(())
            }
        },
    },
];

/// Writes nothing while the kernel has counted no runs.
fn if_counted(runs: Runs, write: impl FnOnce(Runs) -> fmt::Result) -> fmt::Result {
    if runs.count == 0 { Ok(()) } else { write(runs) }
}

const fn mode(mode: InterfaceMode) -> &'static str {
    match mode {
        InterfaceMode::Native => "native",
        InterfaceMode::Generic => "generic",
        InterfaceMode::Detached => "detached",
    }
}

const fn wanted(mode: XdpMode) -> &'static str {
    match mode {
        XdpMode::Auto => "auto",
        XdpMode::Native => "native",
        XdpMode::Generic => "generic",
    }
}

/// Writes nothing if the process cannot be read, as without a free file descriptor.
fn of_process(
    to: &mut Samples<'_>,
    write: impl Fn(&mut Samples<'_>, &Process) -> fmt::Result,
) -> fmt::Result {
    match Process::myself() {
        Ok(process) => write(to, &process),
        Err(error) => {
            log::debug!("no metrics of the process: {error}");
            Ok(())
        }
    }
}
