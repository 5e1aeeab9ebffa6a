//! A balancer at the end of a cable, and the frames that arrive over it.

use std::{
    fs,
    net::{SocketAddrV4, TcpListener, TcpStream},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_common::template::FRAME_LENGTH;
use lb_tests::frame::Flags;
use lb_userspace::testbed::{Namespace, Testbed};

use super::Handler;
use crate::{
    generator::{self, Generator, Pace, frame, mac},
    packets,
    peers::xdplb_binary,
    programs::{self, Attached},
};

const PORT: u16 = 8080;
const START: Duration = Duration::from_secs(10);
const START_INTERVAL: Duration = Duration::from_millis(50);

/// The balancer's interface, and the other end of its cable.
const NEAR: &str = "eth0";
const FAR: &str = "balancer-eth0";

pub(super) struct Stand {
    handler: Handler,
    frame: [u8; FRAME_LENGTH],
    _programs: Vec<Attached>,
    /// The known connection, at both ends.
    _connection: Option<(TcpStream, TcpListener)>,
    testbed: Testbed,
}

impl Stand {
    pub(super) fn set_up(handler: Handler) -> Result<Self> {
        let prefix = format!("bench-live-{}", handler.name());
        Testbed::remove(&prefix)?;
        let testbed = Testbed::one_arm(&prefix, 1)?;
        let connection = (handler == Handler::Known).then(|| connect(&testbed)).transpose()?;
        let near = match handler {
            Handler::Drop => Some("sink"),
            Handler::Null => Some("xdp_tx"),
            Handler::Known => None,
        };
        let mut programs = Vec::new();
        if let Some(near) = near {
            programs.push(Attached::new(near, testbed.balancer(), &[NEAR])?);
        }
        programs::detach(testbed.switch(), FAR)?;
        programs.push(Attached::new("sink", testbed.switch(), &[FAR])?);
        let client = match &connection {
            Some((stream, _)) => v4(stream)?,
            None => SocketAddrV4::new(testbed.clients()[0].address, PORT),
        };
        let macs = (mac(&testbed.clients()[0].namespace, "eth0")?, mac(testbed.balancer(), NEAR)?);
        let frame = frame(client, SocketAddrV4::new(testbed.vip(), PORT), Flags::ACK, macs);
        Ok(Self { handler, frame, _programs: programs, _connection: connection, testbed })
    }

    /// Measures the frames per second that reach their end.
    pub(super) fn packets_per_second(&self, duration: Duration) -> Result<f64> {
        let (namespace, interface) = match self.handler {
            Handler::Drop => (self.testbed.balancer(), NEAR),
            Handler::Null | Handler::Known => (self.testbed.switch(), FAR),
        };
        let before = generator::received(namespace, interface)?;
        let (sent, elapsed) = self.testbed.switch().run(|| self.send(duration))??;
        let arrived = generator::received(namespace, interface)? - before;
        let name = self.handler.name();
        // A cable loses frames if others use its CPU, too; these do not count.
        ensure!(arrived * 10 > sent, "only {arrived} of {sent} frames passed {name}");
        #[expect(clippy::cast_precision_loss, reason = "no round sends 2^52 frames")]
        Ok(arrived as f64 / elapsed.as_secs_f64())
    }

    fn send(&self, duration: Duration) -> Result<(u64, Duration)> {
        packets::pin_to_one_cpu()?;
        let generator = Generator::new(self.frame, 0, FAR)?;
        let start = Instant::now();
        let sent = generator.send_while(Pace::FullTilt, || start.elapsed() < duration)?;
        Ok((sent, start.elapsed()))
    }
}

/// Opens a connection through xdplb.
fn connect(testbed: &Testbed) -> Result<(TcpStream, TcpListener)> {
    let backend = &testbed.backends()[0];
    let listener = backend.namespace.run(|| TcpListener::bind((backend.address, PORT)))??;
    let file = testbed.directory().join("xdplb.toml");
    fs::write(&file, configuration(testbed))?;
    let mut xdplb = Command::new(xdplb_binary()?);
    xdplb.args(["run", "-c"]).arg(file).stdin(Stdio::null()).stderr(Stdio::null());
    testbed.balancer().spawn(&mut xdplb)?;
    let vip = SocketAddrV4::new(testbed.vip(), PORT);
    let end = Instant::now() + START;
    loop {
        match try_to_connect(&testbed.clients()[0].namespace, vip) {
            Ok(stream) => return Ok((stream, listener)),
            Err(_) if Instant::now() < end => sleep(START_INTERVAL),
            Err(error) => return Err(error).context("xdplb opens no connection"),
        }
    }
}

fn try_to_connect(client: &Namespace, to: SocketAddrV4) -> Result<TcpStream> {
    Ok(client.run(|| TcpStream::connect_timeout(&to.into(), START_INTERVAL))??)
}

fn configuration(testbed: &Testbed) -> String {
    let interfaces = testbed.interfaces();
    let bpffs = testbed.bpffs().display();
    let (socket, state) =
        (testbed.directory().join("xdplb.sock"), testbed.directory().join("state"));
    let (socket, state) = (socket.display(), state.display());
    let vip = SocketAddrV4::new(testbed.vip(), PORT);
    let backend = SocketAddrV4::new(testbed.backends()[0].address, PORT);
    format!(
        r#"interfaces = {interfaces:?}
xdp_mode = "native"
bpffs = "{bpffs}"
state_dir = "{state}"

[api]
socket = "{socket}"

[[service]]
name = "live"
vip = "{vip}"

[service.health]
type = "none"

[[service.backend]]
address = "{backend}"
"#
    )
}

fn v4(stream: &TcpStream) -> Result<SocketAddrV4> {
    match stream.local_addr()? {
        std::net::SocketAddr::V4(address) => Ok(address),
        std::net::SocketAddr::V6(address) => anyhow::bail!("{address} is not IPv4"),
    }
}
