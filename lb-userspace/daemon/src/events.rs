//! Events that are handled even during other work of the loop.

use std::time::Duration;

use anyhow::{Result, ensure};
use lb_common::event::Event;
use lb_health::HealthEvent;
use lb_neighbours::NetworkEvent;
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval},
};

use lb_host::sys::heap;

use super::{
    BACKLOG,
    daemon::Daemon,
    groups, interfaces,
    supervisor::{self, Watchdog},
    sweeps::Sweep,
};
use crate::control::Request;

/// Maximum number of changes that wait until the previous one is on disk.
pub(super) const MOST_WAITING: usize = 64;

pub(super) struct Events {
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) health: mpsc::Receiver<HealthEvent>,
    pub(super) network: mpsc::Receiver<NetworkEvent>,
    pub(super) program: mpsc::Receiver<Event>,
    pub(super) swept: mpsc::Receiver<Sweep>,
    pub(super) watchdog: Watchdog,
    /// Timer of interface checks.
    pub(super) upkeep: Interval,
    /// Timer of looks at roles, which commands write to the kernel's map.
    pub(super) roles: Interval,
}

/// Events that are handled together.
pub(super) enum Happening {
    WatchdogDue,
    Network(Vec<NetworkEvent>),
    Program(Vec<Event>),
    Health(Vec<HealthEvent>),
    Swept(Box<Sweep>),
    SweepDue,
    RolesDue,
    UpkeepDue,
    MemoryDue,
    Asked(Request),
}

impl Events {
    /// Waits for the next event; cancel-safe. Requests are accepted while fewer than `room` changes
    /// wait. Returns an error if a task ends that should last as long as the loop.
    pub(super) async fn next(&mut self, daemon: &Daemon, room: usize) -> Result<Happening> {
        let has_room = daemon.queue.waiting.len() < room;
        let (mut network, mut program, mut health) = (Vec::new(), Vec::new(), Vec::new());
        Ok(tokio::select! {
            biased;
            () = self.watchdog.due() => Happening::WatchdogDue,
            count = self.network.recv_many(&mut network, BACKLOG) => {
                ensure!(count > 0, "the task that follows the network has ended");
                Happening::Network(network)
            }
            count = self.program.recv_many(&mut program, BACKLOG) => {
                ensure!(count > 0, "the task that reads the program's events has ended");
                Happening::Program(program)
            }
            _ = self.health.recv_many(&mut health, BACKLOG) => Happening::Health(health),
            Some(sweep) = self.swept.recv() => Happening::Swept(Box::new(sweep)),
            () = daemon.flows.sweeps.due() => Happening::SweepDue,
            _ = self.roles.tick(), if daemon.roles.are_any() => Happening::RolesDue,
            _ = self.upkeep.tick() => Happening::UpkeepDue,
            () = daemon.memory.due() => Happening::MemoryDue,
            Some(request) = self.requests.recv(), if has_room => Happening::Asked(request),
        })
    }
}

/// Timer of interface checks.
pub(super) fn upkeep() -> Interval {
    every(interfaces::UPKEEP)
}

/// Timer of looks at roles.
pub(super) fn roles() -> Interval {
    every(groups::LOOK)
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

impl Daemon {
    fn tidy(&mut self) {
        if std::mem::take(&mut self.is_untidy) {
            heap::give_back();
        }
    }

    pub(super) async fn on(&mut self, happening: Happening) {
        match happening {
            Happening::WatchdogDue => supervisor::is_alive(),
            Happening::Network(events) => self.on_network(events).await,
            Happening::Program(events) => self.on_events(events.into_iter()),
            Happening::Health(events) => self.on_health(events),
            Happening::Swept(sweep) => self.on_swept(*sweep),
            Happening::SweepDue => self.sweep(),
            Happening::RolesDue => self.follow_roles(None),
            Happening::UpkeepDue => {
                self.fix_interfaces().await;
                let ports = self.network.compare_ports(&self.config.snat_ports);
                self.tell_all(ports);
                self.follow_vips().await;
                self.follow_refusals();
                let news = self.kernel.sync.news();
                self.tell_all(news);
                self.catch_up();
                self.retry_macs().await;
                self.kernel.count_runs();
                self.tidy();
            }
            Happening::MemoryDue => {
                self.memory.write(&self.state, self.desired.last_number());
            }
            Happening::Asked(request) => {
                let change = self.answer(request);
                self.queue.waiting.extend(change);
            }
        }
    }
}
