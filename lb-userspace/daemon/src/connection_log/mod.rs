//! The connection log: a line for each connection that has left the flow table. Nothing waits for it.

mod counts;
mod file;
mod line;
mod names;
mod page;
mod rate;
mod target;
mod writer;

use std::{io, sync::Arc, thread, time::Duration};

use lb_common::{
    ended::{Ended, Wanted, has_begun},
    halves::low16,
};
use lb_dataplane::Dataplane;
use lb_model::ConnectionLog as Settings;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

pub(crate) use self::counts::Summary;
pub use self::page::page;
use self::{counts::Counts, writer::Writer};
use crate::snapshot::Snapshots;

/// Ends of connections that may wait for the writer.
const MOST_WAITING: usize = 1 << 18;

/// Time for what still waits when the daemon stops.
const GRACE: Duration = Duration::from_secs(2);

/// None if nothing is logged.
type Present = Option<Arc<Settings>>;

#[derive(Debug)]
enum Order {
    Log(Ended),
    /// The settings have changed.
    Follow,
    /// Answered when everything before it is written.
    Flush(oneshot::Sender<()>),
}

/// Settings of the log, and its writer.
#[derive(Debug)]
pub(crate) struct ConnectionLog {
    settings: watch::Sender<Present>,
    teller: Teller,
}

/// Where ends of connections are told.
#[derive(Clone, Debug)]
pub struct Teller {
    orders: mpsc::Sender<Order>,
    settings: watch::Receiver<Present>,
    counts: Arc<Counts>,
}

/// What waits for the writer.
pub(crate) struct Queue(mpsc::Receiver<Order>);

impl ConnectionLog {
    pub(crate) fn new() -> (Self, Queue) {
        let (orders, queue) = mpsc::channel(MOST_WAITING);
        let (settings, present) = watch::channel(None);
        let teller = Teller { orders, settings: present, counts: Arc::default() };
        (Self { settings, teller }, Queue(queue))
    }

    pub(crate) fn teller(&self) -> Teller {
        self.teller.clone()
    }

    /// Starts the writer.
    pub(crate) fn start(&self, queue: Queue, snapshots: Snapshots) -> io::Result<()> {
        let Teller { settings, counts, .. } = self.teller();
        let writer = Writer::new(settings, counts, snapshots);
        let write = move || writer.run(queue.0);
        thread::Builder::new().name("connection-log".to_owned()).spawn(write)?;
        Ok(())
    }

    /// Follows new settings.
    pub(crate) fn set(&self, settings: Option<&Settings>, dataplane: &mut Dataplane) {
        self.settings.send_replace(settings.cloned().map(Arc::new));
        // If there is no room, it follows with what waits before.
        self.teller.orders.try_send(Order::Follow).ok();
        let wanted = settings.map(|settings| Wanted {
            // The writer limits the rate. This limits the work of each CPU.
            each: settings.per_second,
            unbegun: settings.unfinished.into(),
        });
        if let Err(error) = dataplane.want_ends(&wanted.unwrap_or_default()) {
            log::error!("the program does not follow `connection_log`: {error:#}");
        }
    }

    pub(crate) fn summary(&self) -> Summary {
        self.teller.counts.summary()
    }

    /// Waits for what is not written yet, for a moment.
    pub(crate) async fn close(&self) {
        let (written, all_written) = oneshot::channel();
        let closed = async {
            self.teller.orders.send(Order::Flush(written)).await.ok();
            all_written.await.ok();
        };
        if timeout(GRACE, closed).await.is_err() {
            log::warn!("the connection log was not written to its end in time");
        }
    }
}

impl Teller {
    /// Returns true if anything is logged.
    pub(crate) fn is_on(&self) -> bool {
        self.settings.borrow().is_some()
    }

    /// Logs the end of a connection, if it is wanted.
    pub(crate) fn tell(&self, ended: Ended) {
        if self.wants(&ended) && self.orders.try_send(Order::Log(ended)).is_err() {
            self.counts.leave_out(1);
        }
    }

    /// As [`Self::tell`], but waits for room.
    pub(crate) fn tell_in_time(&self, ended: Ended) {
        if self.wants(&ended) && self.orders.blocking_send(Order::Log(ended)).is_err() {
            self.counts.leave_out(1);
        }
    }

    fn wants(&self, ended: &Ended) -> bool {
        let settings = self.settings.borrow();
        settings.as_ref().is_some_and(|on| on.unfinished || has_begun(low16(ended.seen)))
    }
}
