//! The running daemon, by its API.

use std::{fs, io::ErrorKind, time::Duration};

use anyhow::Context as _;
use lb_client::{Client, ClientError};
use lb_config::Config;
use lb_model::views::{ServiceView, Stats, Status};
use procfs::process::{LimitValue, Process as Proc};
use tokio::time::sleep;

use super::{Attached, Link, Seen, bounded, bounded::in_time};

/// Time between two readings of the counters.
const APART: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) enum Daemon {
    /// No daemon, with the reason.
    Absent(String),
    /// No daemon, but what one has left shows that there should be one: the reason.
    Gone(String),
    /// It may not be asked, or its answer is of no use: the reason.
    Hidden(String),
    /// It does not answer in time.
    Silent(String),
    Running(Box<Running>),
}

#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) status: Status,
    pub(crate) services: Vec<ServiceView>,
    /// Counts of a second.
    pub(crate) rates: Stats,
    pub(crate) process: Seen<Process>,
}

/// The daemon's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Limit of open files that it can have.
    pub(crate) files: u64,
    /// Effective capabilities, as bits.
    pub(crate) capabilities: u64,
    /// True if it is in another network namespace.
    pub(crate) is_elsewhere: bool,
}

impl Daemon {
    /// Asks the daemon for all that it shows, and for its configuration, unless that is for another
    /// network namespace.
    pub(super) async fn ask(client: &Client) -> (Self, Option<Config>) {
        match Self::heard_all(client).await {
            Ok((running, config)) => (Self::Running(running.into()), config),
            Err(other) => (other, None),
        }
    }

    async fn heard_all(client: &Client) -> Result<(Running, Option<Config>), Self> {
        let status = Self::heard(client.status()).await?;
        let services = Self::heard(client.services()).await?;
        let earlier = Self::heard(client.stats()).await?;
        let text = Self::heard(client.export()).await?;
        sleep(APART).await;
        let later = Self::heard(client.stats()).await?;
        let process = process(status.pid).await;
        let config = lb_config::read("the running configuration".to_owned(), text);
        let config = config.inspect_err(|error| log::warn!("{error:#}")).ok();
        let config = config.map(|loaded| loaded.config).filter(|_| !is_elsewhere(&process));
        Ok((Running { status, services, rates: later.since(&earlier), process }, config))
    }

    /// Returns an answer, or what its absence says of the daemon.
    async fn heard<T>(answer: impl Future<Output = Result<T, ClientError>>) -> Result<T, Self> {
        match in_time(answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error @ ClientError::Absent { .. })) => Err(Self::without(&error)),
            Ok(Err(error @ ClientError::Late { .. })) => Err(Self::Silent(error.to_string())),
            Ok(Err(error)) => Err(Self::Hidden(error.to_string())),
            Err(reason) => Err(Self::Silent(reason)),
        }
    }

    fn without(error: &ClientError) -> Self {
        let reason = error.to_string();
        match error {
            // It removes its socket when it stops.
            ClientError::Absent { error, .. } if error.kind() == ErrorKind::ConnectionRefused => {
                Self::Gone(format!("it has ended unexpectedly: {reason}"))
            }
            _ => Self::Absent(reason),
        }
    }

    /// Considers the interfaces: the program of a daemon that has stopped stays attached.
    pub(crate) fn among(self, links: &[Link]) -> Self {
        let is_ours = |link: &&Link| matches!(link.attached, Ok(Attached::Ours(_)));
        match (self, links.iter().find(is_ours)) {
            (Self::Absent(reason), Some(link)) => Self::Gone(format!(
                "the program on {} forwards without it, and nothing checks the backends: {reason}",
                link.name()
            )),
            (daemon, _) => daemon,
        }
    }

    pub(crate) fn running(&self) -> Option<&Running> {
        match self {
            Self::Running(running) => Some(running),
            Self::Absent(_) | Self::Gone(_) | Self::Hidden(_) | Self::Silent(_) => None,
        }
    }
}

fn is_elsewhere(process: &Seen<Process>) -> bool {
    process.as_ref().is_ok_and(|process| process.is_elsewhere)
}

async fn process(pid: u32) -> Seen<Process> {
    let read = move || {
        let process = Proc::new(pid.cast_signed())?;
        let status = process.status()?;
        let files = match process.limits()?.max_open_files.hard_limit {
            LimitValue::Unlimited => u64::MAX,
            LimitValue::Value(files) => files,
        };
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let own = namespace("self");
        let is_elsewhere = namespace(&pid.to_string()).is_some_and(|its| Some(its) != own);
        anyhow::Ok(Process { files, capabilities: status.capeff, is_elsewhere })
    };
    let found = bounded(read).await?.context("the daemon's process cannot be read");
    found.map_err(|error| format!("{error:#}"))
}
