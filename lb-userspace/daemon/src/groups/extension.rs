//! The thread that extends the leases of active groups, so that they last as long as the daemon works.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use lb_common::group::moment;
use lb_dataplane::Leases;

use super::Groups;

/// Number of times that a lease is extended before it would run out.
const EXTENSIONS: u32 = 8;

/// Minimum time for the next daemon to start, after this one was told to stop.
const RESTART: Duration = Duration::from_secs(10);

/// Extends leases until it is ended or dropped.
pub(in super::super) struct Extension {
    end: Sender<()>,
    thread: JoinHandle<()>,
    leases: Arc<Leases>,
    numbers: Vec<u32>,
}

impl Extension {
    /// Starts the thread, if there are groups.
    pub(in super::super) fn start(
        leases: Arc<Leases>,
        groups: &Groups,
        length: Duration,
    ) -> io::Result<Option<Self>> {
        let numbers: Vec<_> = groups.iter().map(|(number, _)| number).collect();
        if numbers.is_empty() {
            return Ok(None);
        }
        let (end, ended) = channel();
        let (of_thread, all) = (Arc::clone(&leases), numbers.clone());
        let extend = move || {
            while ended.recv_timeout(length / EXTENSIONS) == Err(RecvTimeoutError::Timeout) {
                for number in &all {
                    of_thread.extend(*number, 0);
                }
            }
        };
        let thread = thread::Builder::new().name("leases".to_owned()).spawn(extend)?;
        Ok(Some(Self { end, thread, leases, numbers }))
    }

    /// Leaves the next daemon time to start.
    pub(in super::super) fn end(self) {
        let Self { end, thread, leases, numbers } = self;
        drop(end);
        // A panic has ended the process.
        drop(thread.join());
        for number in numbers {
            leases.extend(number, in_moments(RESTART));
        }
    }
}

/// Returns a time in the unit of leases.
pub(in crate::groups) fn in_moments(time: Duration) -> u64 {
    moment(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
