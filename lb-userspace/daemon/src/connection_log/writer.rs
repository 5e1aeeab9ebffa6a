//! The thread that writes the log.

use std::{io, sync::Arc, time::Instant};

use lb_common::ended::Ended;
use lb_model::ConnectionLog as Settings;
use tokio::sync::{mpsc, watch};

use super::{
    Order, Present,
    counts::Counts,
    line::{Line, Now},
    names::Names,
    rate::Rate,
    target::Target,
};
use crate::snapshot::Snapshots;

/// Maximum number of lines that are written at once.
const BATCH: usize = 1_024;

#[derive(Debug)]
pub(super) struct Writer {
    settings: watch::Receiver<Present>,
    target: Option<Target>,
    names: Names,
    rate: Rate,
    counts: Arc<Counts>,
}

impl Writer {
    pub(super) fn new(
        settings: watch::Receiver<Present>,
        counts: Arc<Counts>,
        snapshots: Snapshots,
    ) -> Self {
        let (names, rate) = (Names::new(snapshots), Rate::new(Instant::now()));
        Self { settings, target: None, names, rate, counts }
    }

    /// Writes what comes until nobody can send any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Order>) {
        let mut orders = Vec::new();
        while queue.blocking_recv_many(&mut orders, BATCH) > 0 {
            let (mut ended, mut flushed) = (Vec::new(), Vec::new());
            for order in orders.drain(..) {
                match order {
                    Order::Log(one) => ended.push(one),
                    Order::Follow => {}
                    Order::Flush(reply) => flushed.push(reply),
                }
            }
            if let Some(settings) = self.follow() {
                self.write(&ended, &settings);
            }
            for reply in flushed {
                // The daemon may wait no longer.
                reply.send(()).ok();
            }
        }
    }

    /// Returns the present settings. Opens the file, if it is another one.
    fn follow(&mut self) -> Present {
        let present = self.settings.borrow_and_update();
        let (has_changed, settings) = (present.has_changed(), present.clone());
        drop(present);
        if !has_changed {
            return settings;
        }
        self.counts.set_fault(None);
        self.target = None;
        let present = settings.as_ref()?;
        let mut target = Target::of(present);
        self.tell(target.append(&[], present.format).1.err(), present);
        self.target = Some(target);
        settings
    }

    fn write(&mut self, ended: &[Ended], settings: &Settings) {
        let lines = self.lines(ended, settings);
        let Some(target) = self.target.as_mut().filter(|_| !lines.is_empty()) else { return };
        let (written, result) = target.append(&lines, settings.format);
        self.counts.write(written);
        self.counts.leave_out(lines.len() as u64 - written);
        self.tell(result.err(), settings);
    }

    /// Returns the lines of those that are wanted, and not too many.
    fn lines(&mut self, ended: &[Ended], settings: &Settings) -> Vec<Line> {
        self.names.refresh();
        let now = Now::new();
        let mut lines = Vec::new();
        for one in ended {
            let service = self.names.of(&(one.vip, one.vip_port)).cloned();
            if !settings.wants(service.as_deref()) {
                continue;
            }
            if self.rate.take(settings.per_second, Instant::now()) {
                lines.push(Line::new(one, service.as_deref(), now));
            } else {
                self.counts.leave_out(1);
            }
        }
        lines
    }

    /// Logs a new fault, or its end.
    fn tell(&self, fault: Option<io::Error>, settings: &Settings) {
        let to = &settings.to;
        let fault =
            fault.map(|error| format!("the connection log {to} cannot be written: {error}"));
        let former = self.counts.set_fault(fault.clone());
        match (former, fault) {
            (None, Some(fault)) => log::warn!("{fault}: its lines are left out until it can"),
            (Some(_), None) => log::info!("the connection log {to} is written again"),
            _ => {}
        }
    }
}
