//! The demo's balancer: the real daemon with a real configuration.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use lb_client::{Client, ClientError};
use lb_dataplane::Meter;
use lb_model::views::{ServiceView, Status};
use lb_neighbours::xdp_attached;
use tokio::runtime::{self, Runtime};

use super::stage::PORT;
use lb_testbed::Testbed;

/// Where it serves HTTP, in its own namespace.
pub(super) const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9370);

pub(super) struct Balancer {
    client: Client,
    runtime: Runtime,
    pub(super) socket: PathBuf,
    log: PathBuf,
}

impl Balancer {
    pub(super) fn start(testbed: &Testbed) -> Result<Self> {
        let socket = testbed.directory().join("xdplb.sock");
        let file = testbed.directory().join("xdplb.toml");
        let log = testbed.directory().join("xdplb.log");
        fs::write(&file, configuration(testbed, &socket))?;
        let mut daemon = Command::new(std::env::current_exe()?);
        daemon.args(["run", "--config"]).arg(&file);
        let output = fs::File::create(&log)?;
        daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        // In its own process group, so that it outlives the terminal.
        testbed.balancer().spawn(daemon.process_group(0))?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client: Client::new(socket.clone()), runtime, socket, log })
    }

    pub(super) fn services(&self) -> Result<Vec<ServiceView>, ClientError> {
        self.runtime.block_on(self.client.services())
    }

    pub(super) fn status(&self) -> Result<Status, ClientError> {
        self.runtime.block_on(self.client.status())
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Makes the kernel measure the program from now on.
    pub(super) fn meter(&self, testbed: &Testbed) -> Result<Meter> {
        let status = self.status()?;
        let interface = status.interfaces.first().context("the balancer has no interface")?;
        let ifindex = interface.ifindex;
        let attached = testbed.balancer().run_async(async || xdp_attached(ifindex).await)??;
        Meter::start(attached.context("no program is attached")?.program_id)
    }
}

fn configuration(testbed: &Testbed, socket: &Path) -> String {
    let (interfaces, bpffs, socket) =
        (testbed.interfaces(), testbed.bpffs().display(), socket.display());
    let state = testbed.directory().join("state");
    let state = state.display();
    let vip = SocketAddr::from((testbed.vip(), PORT));
    let backends: Vec<_> = testbed.backends().iter().map(|host| backend(host.address)).collect();
    let backends = backends.concat();
    format!(
        r#"interfaces = {interfaces:?}
bpffs = "{bpffs}"
state_dir = "{state}"

[api]
socket = "{socket}"
http = "{HTTP}"

[limits]
flows = 100_000

[[service]]
name = "web"
vip = "{vip}"

[service.health]
type = "tcp"
interval = "100ms"
timeout = "100ms"
rise = 2
fall = 2
{backends}"#
    )
}

fn backend(ip: Ipv4Addr) -> String {
    format!("\n[[service.backend]]\naddress = \"{}\"\n", SocketAddr::from((ip, PORT)))
}
