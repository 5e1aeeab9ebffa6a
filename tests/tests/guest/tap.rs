//! Virtio network cards of a guest that is the balancer on the LANs of a testbed.

use lb_testbed::{Namespace, Testbed};
use lb_tests::servers::attempt;

/// A network card of the guest.
#[derive(Clone, Copy)]
pub struct Nic {
    /// Balancer's interface that it replaces, and its name in the guest.
    pub interface: &'static str,
    /// Bridge of the LAN.
    pub lan: &'static str,
    /// Number of queue pairs. The driver reserves one per CPU for XDP transmission, if there are
    /// enough.
    pub queues: u32,
}

/// Other ends of the cards, in the namespace of the testbed's switch.
pub struct Taps<'a> {
    testbed: &'a Testbed,
    nics: &'a [Nic],
}

impl<'a> Taps<'a> {
    /// Removes the testbed's own balancer from its LANs, and creates a port for each card instead.
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

    /// Returns QEMU's arguments for the cards.
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
