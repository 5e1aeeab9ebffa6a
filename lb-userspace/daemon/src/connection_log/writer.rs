//! The thread that writes the log.

use std::{io, sync::Arc, time::Instant};

use lb_common::ended::Ended;
use lb_model::{ConnectionLog as Settings, LineFormat, LogTarget};
use tokio::sync::{mpsc, watch};

use super::{
    Order, Present,
    counts::Counts,
    file::LogFile,
    line::{Line, Now},
    names::Names,
    rate::Rate,
};
use crate::snapshot::Snapshots;

/// Maximum number of lines that are written at once.
const BATCH: usize = 1_024;

#[derive(Debug)]
pub(super) struct Writer {
    settings: watch::Receiver<Present>,
    /// The file of the settings that were seen last.
    file: Option<LogFile>,
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
        Self { settings, file: None, names, rate, counts }
    }

    /// Writes what comes until nobody can send any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Order>) {
        let mut orders = Vec::new();
        while queue.blocking_recv_many(&mut orders, BATCH) > 0 {
            let (mut ended, mut flushed) = (Vec::new(), Vec::new());
            for order in orders.drain(..) {
                match order {
                    Order::Log(one) => ended.push(one),
                    Order::Flush(reply) => flushed.push(reply),
                }
            }
            self.write(&ended);
            for reply in flushed {
                // The daemon may wait no longer.
                reply.send(()).ok();
            }
        }
    }

    fn write(&mut self, ended: &[Ended]) {
        let Some(settings) = self.present() else { return };
        let lines = self.lines(ended, &settings);
        if lines.is_empty() {
            return;
        }
        let fault = self
            .append(&lines, settings.format)
            .err()
            .map(|error| format!("the connection log {} cannot be written: {error}", settings.to));
        let count = lines.len() as u64;
        match fault {
            None => self.counts.write(count),
            Some(_) => self.counts.leave_out(count),
        }
        self.tell(fault, &settings);
    }

    fn append(&mut self, lines: &[Line], format: LineFormat) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            return file.append(&encoded(lines, format));
        }
        lines.iter().for_each(Line::log);
        Ok(())
    }

    /// Returns the present settings, and follows a change of the file.
    fn present(&mut self) -> Present {
        let has_changed = self.settings.has_changed().unwrap_or_default();
        let settings = self.settings.borrow_and_update().clone();
        if has_changed {
            self.file = settings.as_ref().and_then(|settings| match &settings.to {
                LogTarget::Log => None,
                LogTarget::File(path) => Some(LogFile::new(path)),
            });
            self.counts.set_fault(None);
        }
        settings
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
    fn tell(&self, fault: Option<String>, settings: &Settings) {
        let former = self.counts.set_fault(fault.clone());
        match (former, fault) {
            (None, Some(fault)) => log::warn!("{fault}: its lines are left out until it can"),
            (Some(_), None) => log::info!("the connection log {} is written again", settings.to),
            _ => {}
        }
    }
}

fn encoded(lines: &[Line], format: LineFormat) -> Vec<u8> {
    let mut text = String::new();
    for line in lines {
        text += &match format {
            LineFormat::Text => line.text(),
            LineFormat::Json => serde_json::to_string(line).unwrap_or_default(),
        };
        text.push('\n');
    }
    text.into_bytes()
}
