//! A candidate in a testbed, with servers behind it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddrV4, TcpStream},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use lb_userspace::testbed::Testbed;

use super::{
    Load,
    candidate::{self, Candidate},
    configuration, fixed_rate, iperf,
    wrk::{Throughput, Wrk},
};
use crate::programs::Attached;

const START: Duration = Duration::from_secs(10);
const START_INTERVAL: Duration = Duration::from_millis(50);

pub struct Stage {
    pub(super) candidate: Candidate,
    _programs: Option<Attached>,
    wrk: Wrk,
    pub testbed: Testbed,
}

impl Stage {
    /// Sets it up in a testbed of this prefix and the candidate's name, with some servers.
    pub fn set_up(candidate: Candidate, prefix: &str, servers: usize) -> Result<Self> {
        let prefix = format!("{prefix}-{}", candidate.name());
        Testbed::remove(&prefix)?;
        let testbed = Testbed::two_arm(&prefix, servers)?;
        widen_ports(&testbed)?;
        start_servers(&testbed)?;
        let programs = candidate.start(&testbed)?;
        let wrk = Wrk::new(testbed.directory())?;
        let stage = Self { candidate, _programs: programs, wrk, testbed };
        stage.await_answer()?;
        Ok(stage)
    }

    /// Returns the address that clients connect to.
    #[must_use]
    pub fn target(&self) -> SocketAddrV4 {
        self.candidate.target(&self.testbed)
    }

    /// Makes the balancer accept frames sent by XDP from the other end of its cable: without a
    /// program of its own its interface does so only with GRO.
    pub fn take_frames_of_xdp(&self) -> Result<()> {
        if self.candidate.uses_xdp() {
            return Ok(());
        }
        let mut ethtool = Command::new("ethtool");
        ethtool.args(["-K", "eth0", "gro", "on"]);
        candidate::finish(self.testbed.balancer(), &mut ethtool)
    }

    /// Measures whole-machine CPU microseconds per request or megabyte at the load's fixed rate.
    pub(super) fn cpu_us(&self, load: Load, duration: Duration) -> Result<f64> {
        let client = &self.testbed.clients()[0].namespace;
        let rate = load.fixed_rate();
        let requests = |keep_alive| {
            let load = (rate, keep_alive);
            fixed_rate::cpu_us_per_request(client, self.target(), load, duration)
        };
        match load {
            Load::NewConnections => requests(false),
            Load::KeepAlive => requests(true),
            Load::Bulk => {
                fixed_rate::cpu_us_per_megabyte(client, self.bulk_target(), rate, duration)
            }
        }
    }

    /// Measures throughput at full speed.
    pub(super) fn throughput(&self, load: Load, duration: Duration) -> Result<Throughput> {
        let client = &self.testbed.clients()[0].namespace;
        match load {
            Load::NewConnections => self.wrk.run(client, self.target(), false, duration),
            Load::KeepAlive => self.wrk.run(client, self.target(), true, duration),
            Load::Bulk => {
                let transfer = iperf::send(client, self.bulk_target(), duration, None)?;
                let per_second = transfer.bits_per_second;
                Ok(Throughput { per_second, p50_us: None, p99_us: None, p999_us: None })
            }
        }
    }

    fn bulk_target(&self) -> SocketAddrV4 {
        self.candidate.bulk_target(&self.testbed)
    }

    /// Removes closed connections everywhere, so that they do not affect the next round.
    pub(super) fn forget_closed_connections(&self) -> Result<()> {
        let hosts = self.testbed.backends().iter().chain(self.testbed.clients());
        for namespace in hosts.map(|host| &host.namespace).chain([self.testbed.balancer()]) {
            let mut ss = Command::new("ss");
            ss.args(["--kill", "--tcp", "state", "time-wait"]).stdout(Stdio::null());
            candidate::finish(namespace, &mut ss)?;
        }
        Ok(())
    }

    fn await_answer(&self) -> Result<()> {
        let target = self.target();
        let client = &self.testbed.clients()[0].namespace;
        let end = Instant::now() + START;
        loop {
            let answer = client.run(|| ask(target))?;
            match answer {
                Ok(()) => return Ok(()),
                Err(_) if Instant::now() < end => sleep(START_INTERVAL),
                Err(error) => {
                    let log = fs::read_to_string(candidate::log(&self.testbed)).unwrap_or_default();
                    bail!("{target} does not answer: {error:#}\n{log}");
                }
            }
        }
    }
}

/// Provides enough source ports for a round at full speed: the kernel searches long among few.
fn widen_ports(testbed: &Testbed) -> Result<()> {
    let clients = testbed.clients().iter().map(|host| &host.namespace);
    clients.chain([testbed.balancer()]).try_for_each(|namespace| {
        namespace.set_sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    })
}

/// Starts one nginx in each backend, and iperf3 in the first.
fn start_servers(testbed: &Testbed) -> Result<()> {
    for (nth, host) in testbed.backends().iter().enumerate() {
        let file = |extension| testbed.directory().join(format!("backend{nth}.{extension}"));
        fs::write(file("conf"), configuration::web_server(&file("pid")))?;
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(file("conf"));
        candidate::spawn(&host.namespace, &mut nginx, &file("log"))?;
    }
    // Only one, as all connections of a run have the same destination.
    let log = testbed.directory().join("iperf.log");
    candidate::spawn(&testbed.backends()[0].namespace, &mut iperf::server(), &log)
}

fn ask(target: SocketAddrV4) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&target.into(), START_INTERVAL)?;
    stream.set_read_timeout(Some(START))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("no answer")?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "the answer is not 200 OK");
    Ok(())
}
