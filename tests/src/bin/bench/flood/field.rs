//! A candidate, its clients, and an attacker with spoofed sources.

use std::{
    net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow};
use lb_common::template::FRAME_LENGTH;
use lb_tests::frame::Flags;
use lb_userspace::testbed::Testbed;

use super::{Extent, Flow, Round, clients};
use crate::{
    generator::{self, Generator, Pace, frame, mac},
    packets::pin_to_one_cpu,
    peers::{Candidate, INSIDE, SERVERS, Stage},
    programs::Attached,
};

/// First source of the flood; the others are in its /16.
const SOURCE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 0), 0);
const SOURCE_PREFIX: u8 = 16;
const SOURCE_DOUBLINGS: u32 = u32::BITS;

const CONNECTIONS: usize = 16;

/// The balancer's interface towards clients, and the other end of its cable.
const NEAR: &str = "eth0";
const FAR: &str = "balancer-eth0";

pub(super) struct Field {
    stage: Stage,
    syn: [u8; FRAME_LENGTH],
    _sink: Attached,
}

impl Field {
    pub(super) fn set_up(candidate: Candidate) -> Result<Self> {
        // Routing represents a server without a balancer, whose kernel has SYN cookies.
        let is_routing = matches!(candidate, Candidate::Routing | Candidate::RoutingXdp);
        let servers = if is_routing { 1 } else { SERVERS };
        let mut stage = Stage::set_up(candidate, "flood", servers)?;
        stage.take_frames_of_xdp()?;
        let target = stage.target();
        let attacker = stage.testbed.add_client()?.address;
        let testbed = &stage.testbed;
        let host = testbed.clients().last().context("the attacker is gone")?;
        // Answers to the flood go to the attacker, which stays silent.
        let sink = Attached::new("sink", &host.namespace, &["eth0"])?;
        route_back(testbed, attacker)?;
        host.namespace.run(|| make_known(testbed.vip()))??;
        let macs = (mac(&host.namespace, "eth0")?, mac(testbed.balancer(), NEAR)?);
        let syn = frame(SOURCE, target, Flags::SYN, macs);
        Ok(Self { stage, syn, _sink: sink })
    }

    /// Floods while clients make requests.
    pub(super) fn fight(&self, pace: Pace, extent: &Extent) -> Result<Round> {
        let client = &self.stage.testbed.clients()[0].namespace;
        let target = self.stage.target();
        let connect = || (0..CONNECTIONS).map(|_| TcpStream::connect(target)).collect();
        let streams: Vec<TcpStream> = client.run::<std::io::Result<_>>(connect)??;
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let flood = scope.spawn(|| self.flood(pace, &over));
            let clients = client.run_async(async || {
                let canary = clients::canary(target, extent);
                let established = clients::established(streams, extent);
                tokio::try_join!(canary, established)
            });
            over.store(true, Ordering::Relaxed);
            let flood = flood.join().map_err(|_| anyhow!("the generator panicked"))?;
            let (canary, established) = clients??;
            Ok(Round { flow: flood?, canary, established })
        })
    }

    /// Sends until it is over.
    fn flood(&self, pace: Pace, over: &AtomicBool) -> Result<Flow> {
        let testbed = &self.stage.testbed;
        let counters = || -> Result<[u64; 2]> {
            let arrived = generator::received(testbed.balancer(), NEAR)?;
            Ok([arrived, generator::not_taken(testbed.switch(), FAR)?])
        };
        let before = counters()?;
        let start = Instant::now();
        testbed.switch().run(|| {
            pin_to_one_cpu()?;
            let generator = Generator::new(self.syn, SOURCE_DOUBLINGS, FAR)?;
            generator.send_while(pace, || !over.load(Ordering::Relaxed))
        })??;
        let after = counters()?;
        let seconds = start.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "no flood has 2^52 frames")]
        let rate = |which: usize| (after[which] - before[which]) as f64 / seconds;
        Ok(Flow { syn_per_s: rate(0), not_taken_per_s: rate(1) })
    }
}

fn route_back(testbed: &Testbed, attacker: Ipv4Addr) -> Result<()> {
    testbed.balancer().add_route(*SOURCE.ip(), SOURCE_PREFIX, attacker)?;
    let mut backends = testbed.backends().iter();
    backends.try_for_each(|host| host.namespace.add_route(*SOURCE.ip(), SOURCE_PREFIX, INSIDE))
}

/// Sends a packet, so that neighbours and bridges learn the location of this host.
fn make_known(to: Ipv4Addr) -> Result<()> {
    const DISCARD: u16 = 9;
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.send_to(&[], (to, DISCARD))?;
    Ok(())
}
