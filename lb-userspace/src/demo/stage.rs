//! Hosts of the demo, and the events of its phases.

use std::{
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use lb_model::Health;

use super::{
    balancer::Balancer,
    claim::Claim,
    report::{Keepsake, Report},
    traffic::{self, Tally},
};
use lb_testbed::Testbed;

const BACKENDS: usize = 3;
pub(super) const PORT: u16 = 80;

/// The backend that fails and comes back.
const VICTIM: usize = 1;

/// Duration of each phase.
const PHASE: Duration = Duration::from_secs(3);

/// Maximum time for the balancer and its checks to react.
const PATIENCE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(50);

pub(super) struct Stage<'a> {
    /// Declared before `_claim`, so that it is dropped first.
    testbed: Testbed,
    balancer: Balancer,
    interrupted: &'a AtomicBool,
    _claim: Claim,
}

impl<'a> Stage<'a> {
    pub(super) fn set_up(interrupted: &'a AtomicBool) -> Result<Self> {
        let claim = Claim::new().context("the demo needs root")?;
        let testbed = Testbed::two_arm(&claim.prefix, BACKENDS).context("the demo needs root")?;
        let balancer = Balancer::start(&testbed)?;
        Ok(Self { testbed, balancer, interrupted, _claim: claim })
    }

    /// Starts the backends' servers; returns when the balancer sees them up.
    pub(super) fn start_servers(&self) -> Result<Vec<Child>> {
        let started =
            (0..BACKENDS).map(|nth| respond(&self.testbed, nth)).collect::<Result<_>>()?;
        self.wait_until_up(BACKENDS)?;
        Ok(started)
    }

    /// Sends requests before, during and after the failure of a backend.
    pub(super) fn play(&self, responders: &mut [Child]) -> Result<Report> {
        let tally = Tally::default();
        let vip = SocketAddr::from((self.testbed.vip(), PORT));
        let meter = self.balancer.meter(&self.testbed)?;
        thread::scope(|scope| {
            let client = &self.testbed.clients()[0].namespace;
            let sender = scope.spawn(|| traffic::send(client, vip, &tally));
            let played = self.act(responders, &tally);
            tally.stop();
            let sent = sender.join().map_err(|_| anyhow!("the demo's client has panicked"))?;
            played.and(sent)
        })?;
        let cost = meter.nanoseconds_per_packet()?;
        Ok(Report::new(&self.testbed, &self.balancer.status()?, tally.into_phases(), cost))
    }

    fn act(&self, responders: &mut [Child], tally: &Tally) -> Result<()> {
        self.wait(PHASE)?;
        tally.next_phase(format!("backend{} killed", VICTIM + 1));
        let victim = &mut responders[VICTIM];
        victim.kill().context("cannot stop a backend")?;
        victim.wait()?;
        self.wait(PHASE)?;
        self.wait_until_up(BACKENDS - 1)?;
        responders[VICTIM] = respond(&self.testbed, VICTIM)?;
        self.wait_until_up(BACKENDS)?;
        tally.next_phase(format!("backend{} back", VICTIM + 1));
        self.wait(PHASE)
    }

    /// Returns hints for a kept demo.
    pub(super) fn keepsake(&self) -> Result<Keepsake> {
        Keepsake::of(&self.testbed, &self.balancer)
    }

    /// Leaves everything running.
    pub(super) fn keep(self) {
        self.testbed.keep();
    }

    fn wait_until_up(&self, wanted: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.wait(POLL)?;
            let services = self.balancer.services();
            let up = services.iter().flatten().flat_map(|service| &service.backends);
            let up = up.filter(|backend| backend.health == Health::Up && backend.in_ring).count();
            if up == wanted {
                return Ok(());
            }
            if Instant::now() > deadline {
                services?;
                bail!("{up} backends are up, not {wanted}; see {}", self.balancer.log().display());
            }
        }
    }

    fn wait(&self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            if self.interrupted.load(Ordering::Relaxed) {
                bail!("interrupted; everything is removed");
            }
            thread::sleep(POLL.min(duration));
        }
        Ok(())
    }
}

/// Starts the web server of a backend.
fn respond(testbed: &Testbed, nth: usize) -> Result<Child> {
    let host = &testbed.backends()[nth];
    let address = SocketAddr::from((host.address, PORT));
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("respond").arg(format!("backend{}", nth + 1)).arg(address.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // In its own process group, so that it outlives the terminal.
    host.namespace.spawn(command.process_group(0))
}
