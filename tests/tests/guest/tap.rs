//! The network cards of a guest: virtio, on the LANs of a testbed whose balancer the guest is.

use lb_tests::servers::attempt;
use lb_userspace::testbed::{Namespace, Testbed};

/// One of the guest's network cards.
#[derive(Clone, Copy)]
pub struct Nic {
    /// The balancer's interface that it takes the place of, and its name in the guest.
    pub interface: &'static str,
    /// The bridge of the LAN.
    pub lan: &'static str,
    /// How many pairs of queues it has. The driver keeps one for each CPU to send from by XDP, if
    /// there are enough.
    pub queues: u32,
}

/// The cards' other ends, in the namespace of the testbed's switch.
pub struct Taps<'a> {
    testbed: &'a Testbed,
    nics: &'a [Nic],
}

impl<'a> Taps<'a> {
    /// Takes the testbed's own balancer from its LANs, and makes a port in its place for each card.
    pub fn plug(testbed: &'a Testbed, nics: &'a [Nic]) -> Self {
        for Nic { interface, lan, .. } in nics {
            testbed.unplug_balancer(interface).expect("an interface of the balancer");
            let tap = tap(interface);
            for command in [
                format!("tuntap add dev {tap} mode tap multi_queue"),
                format!("link set {tap} master {lan} up"),
            ] {
                let arguments: Vec<_> = command.split(' ').collect();
                let output = attempt(testbed.switch(), "ip", &arguments);
                assert!(output.status.success(), "ip {command}: {output:?}");
            }
        }
        Self { testbed, nics }
    }

    pub fn namespace(&self) -> &Namespace {
        self.testbed.switch()
    }

    /// The cards, as QEMU is told of them.
    pub fn devices(&self) -> Vec<String> {
        let describe = |Nic { interface, queues, .. }: &Nic| {
            let tap = tap(interface);
            // Two for each pair of queues, and one each for configuration and control.
            let vectors = 2 * queues + 2;
            let netdev = format!(
                "tap,id={interface},ifname={tap},script=no,downscript=no,vhost=off,queues={queues}"
            );
            let device = format!("virtio-net-pci,netdev={interface},mq=on,vectors={vectors}");
            ["-netdev".to_owned(), netdev, "-device".to_owned(), device]
        };
        self.nics.iter().flat_map(describe).collect()
    }
}

fn tap(interface: &str) -> String {
    format!("guest-{interface}")
}
