use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use rtnetlink::{LinkUnspec, RouteMessageBuilder, packet_route::route::RouteMessage};
use tokio::{sync::mpsc, time};

use super::*;
use lb_testbed::{Host, Namespace, Testbed};

const REMOTE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

#[test]
#[ignore = "needs root"]
fn root_neighbours_are_resolved_by_arp() {
    let testbed = Testbed::two_arm("t-arp", 2).unwrap();
    let [first, second] = testbed.backends() else { panic!("two backends") };
    follow(&testbed, async |network| {
        network.watch(&[first.address, second.address]);
        for _ in 0..2 {
            let (address, resolution) = network.next_resolution().await;
            let host = if address == first.address { first } else { second };
            let hop = hop(resolution);
            assert_eq!(hop.interface, "eth1");
            assert_eq!(hop.dst_mac, mac(&host.namespace, "eth0"));
            assert_eq!(hop.src_mac, mac(testbed.balancer(), "eth1"));
            assert_eq!(hop.source, Ipv4Addr::new(10, 0, 0, 1));
        }
    });
}

#[test]
#[ignore = "needs root"]
fn root_what_does_not_resolve_has_a_reason() {
    let testbed = Testbed::two_arm("t-reasons", 1).unwrap();
    follow(&testbed, async |network| {
        for (address, reason) in [
            ([10, 0, 0, 99], "neighbour 10.0.0.99 on eth1 does not answer ARP"),
            ([192, 0, 2, 1], "no route to 192.0.2.1"),
            ([10, 0, 0, 1], "10.0.0.1 is an address of this host"),
        ] {
            network.watch(&[address.into()]);
            let (_, resolution) = network.next_resolution().await;
            assert_eq!(resolution, Resolution::Unresolved(reason.to_owned()));
        }
    });
}

#[test]
#[ignore = "needs root"]
fn root_a_neighbour_that_comes_late_is_found() {
    let testbed = Testbed::two_arm("t-late", 1).unwrap();
    let backend = &testbed.backends()[0];
    set_up(&backend.namespace, "eth0", false);
    set_up(testbed.switch(), "backend1", true);
    follow(&testbed, async |network| {
        network.watch(&[backend.address]);
        let (_, resolution) = network.next_resolution().await;
        assert!(matches!(resolution, Resolution::Unresolved(_)), "{resolution:?}");

        set_up(&backend.namespace, "eth0", true);
        let appeared = Instant::now();
        hop(network.next_resolution().await.1);
        assert!(appeared.elapsed() < Duration::from_secs(3));
    });
}

#[test]
#[ignore = "needs root"]
fn root_a_new_mac_is_noticed_be_it_announced_or_not() {
    let testbed = Testbed::two_arm("t-mac", 1).unwrap();
    let Host { namespace, address } = &testbed.backends()[0];
    follow(&testbed, async |network| {
        network.watch(&[*address]);
        hop(network.next_resolution().await.1);

        for (last, announced) in [(1, "1"), (2, "0"), (3, "0"), (4, "1")] {
            namespace.set_sysctl("net.ipv4.conf.eth0.arp_notify", announced).unwrap();
            let new = [2, 0, 0, 0, 0xab, last];
            let change = LinkUnspec::new_with_name("eth0").address(new.to_vec());
            namespace
                .configure(async |netlink| {
                    Ok(netlink.link().change(change.build()).execute().await?)
                })
                .unwrap();
            let changed = Instant::now();
            let hop = hop(network.next_resolution().await.1);
            assert_eq!(hop.dst_mac, new);
            assert!(changed.elapsed() < Duration::from_secs(1), "{:?}", changed.elapsed());
        }
    });
}

#[test]
#[ignore = "needs root"]
fn root_own_addresses_are_followed() {
    let testbed = Testbed::two_arm("t-own", 1).unwrap();
    let more = Ipv4Addr::new(10, 0, 0, 2);
    follow(&testbed, async |network| {
        testbed.balancer().add_address("eth1", more, 24).unwrap();
        loop {
            if let NetworkEvent::Own(own) = network.next().await
                && own.iter().any(|(_, address)| *address == more)
            {
                break;
            }
        }
    });
}

#[test]
#[ignore = "needs root"]
fn root_a_gateway_is_the_next_hop_of_what_is_behind_it() {
    let testbed = Testbed::two_arm("t-gateway", 2).unwrap();
    let balancer = testbed.balancer();
    let [first, second] = testbed.backends() else { panic!("two backends") };
    balancer.add_route(REMOTE, 32, first.address).unwrap();
    follow(&testbed, async |network| {
        network.watch(&[REMOTE]);
        let over_first = hop(network.next_resolution().await.1);
        assert_eq!(over_first.dst_mac, mac(&first.namespace, "eth0"));

        replace_route(balancer, route(REMOTE, 32, second.address));
        let over_second = hop(network.next_resolution().await.1);
        assert_eq!(over_second.dst_mac, mac(&second.namespace, "eth0"));

        remove_route(balancer, route(REMOTE, 32, second.address));
        let (_, resolution) = network.next_resolution().await;
        assert_eq!(resolution, Resolution::Unresolved(format!("no route to {REMOTE}")));
    });
}

#[test]
#[ignore = "needs root"]
fn root_thousands_of_addresses_are_told_at_once() {
    let testbed = Testbed::two_arm("t-many", 2).unwrap();
    let [first, second] = testbed.backends() else { panic!("two backends") };
    let many: Vec<_> = (0..5_000).map(|nth| Ipv4Addr::from_bits(0x0b00_0000 + nth)).collect();
    testbed.balancer().add_route(many[0], 16, first.address).unwrap();
    follow(&testbed, async |network| {
        for (host, case) in [(first, "watched"), (second, "rerouted")] {
            let begin = Instant::now();
            if case == "watched" {
                network.watch(&many);
            } else {
                replace_route(testbed.balancer(), route(many[0], 16, host.address));
            }
            let to = mac(&host.namespace, "eth0");
            for _ in &many {
                assert_eq!(hop(network.next_resolution().await.1).dst_mac, to);
            }
            eprintln!("{} addresses {case}: {:?}", many.len(), begin.elapsed());
            assert!(begin.elapsed() < Duration::from_secs(2));
        }
        for address in &many {
            network.neighbours.forget((*address).into());
        }
    });
}

#[test]
#[ignore = "needs root"]
fn root_an_interface_that_goes_down_and_up_is_followed() {
    let testbed = Testbed::two_arm("t-link", 1).unwrap();
    follow(&testbed, async |network| {
        network.watch(&[testbed.backends()[0].address]);
        hop(network.next_resolution().await.1);

        set_up(testbed.switch(), "balancer-eth1", false);
        assert!(!network.next_link("eth1").await.up);
        let (_, resolution) = network.next_resolution().await;
        assert_eq!(resolution, Resolution::Unresolved("interface eth1 is down".to_owned()));

        set_up(testbed.switch(), "balancer-eth1", true);
        assert!(network.next_link("eth1").await.up);
        hop(network.next_resolution().await.1);
    });
}

#[test]
#[ignore = "needs root"]
fn root_a_burst_of_changes_loses_nothing() {
    let testbed = Testbed::two_arm("t-burst", 1).unwrap();
    let balancer = testbed.balancer();
    let gateway = testbed.backends()[0].address;
    balancer.add_route(REMOTE, 32, gateway).unwrap();
    follow(&testbed, async |network| {
        network.watch(&[REMOTE]);
        hop(network.next_resolution().await.1);

        // This thread runs the follower, so its buffer overflows and the last change is lost.
        balancer
            .configure(async |netlink| {
                for n in 0..8192 {
                    let to = Ipv4Addr::from_bits(0x0b00_0000 + n);
                    let add = netlink.route().add(route(to, 32, gateway));
                    add.execute().await?;
                }
                Ok(())
            })
            .unwrap();
        remove_route(balancer, route(REMOTE, 32, gateway));
        let (_, resolution) = network.next_resolution().await;
        assert!(matches!(resolution, Resolution::Unresolved(_)), "{resolution:?}");
    });
}

#[test]
#[ignore = "needs root"]
fn root_questions_are_answered() {
    let testbed = Testbed::two_arm("t-query", 0).unwrap();
    let (addresses, eth1, missing) = testbed
        .balancer()
        .run_async(async || {
            (
                local_addresses().await.unwrap(),
                interface("eth1").await.unwrap().unwrap(),
                interface("eth7").await.unwrap(),
            )
        })
        .unwrap();
    for own in [testbed.vip(), [203, 0, 113, 1].into(), [10, 0, 0, 1].into()] {
        assert!(addresses.iter().any(|(_, address)| *address == own), "{addresses:?}");
    }
    assert!(addresses.contains(&(eth1.ifindex, [10, 0, 0, 1].into())), "{addresses:?}");
    assert_eq!((eth1.mtu, eth1.up), (1500, true));
    assert_eq!(missing, None);
    assert_eq!(attached(testbed.balancer(), "eth1"), None);
    assert_eq!(
        attached(testbed.switch(), "balancer-eth1").map(|attached| attached.mode),
        Some(AttachMode::Native)
    );
}

struct Network {
    neighbours: Neighbours,
    events: mpsc::Receiver<NetworkEvent>,
}

impl Network {
    fn watch(&mut self, addresses: &[Ipv4Addr]) {
        for address in addresses {
            self.neighbours.watch(IpAddr::V4(*address));
        }
    }

    async fn next(&mut self) -> NetworkEvent {
        time::timeout(Duration::from_secs(10), self.events.recv())
            .await
            .expect("no event")
            .expect("the follower is gone")
    }

    async fn next_resolution(&mut self) -> (IpAddr, Resolution) {
        loop {
            if let NetworkEvent::NextHop { address, resolution } = self.next().await {
                return (address, resolution);
            }
        }
    }

    async fn next_link(&mut self, name: &str) -> Interface {
        loop {
            match self.next().await {
                NetworkEvent::Link(link) if link.name == name => return link,
                _ => {}
            }
        }
    }
}

/// Runs work in the balancer's namespace that follows the network there.
fn follow(testbed: &Testbed, work: impl AsyncFnOnce(&mut Network) + Send) {
    testbed
        .balancer()
        .run_async(async || {
            let (sender, events) = mpsc::channel(16);
            let neighbours = Neighbours::start(sender).unwrap();
            let mut network = Network { neighbours, events };
            for name in testbed.interfaces() {
                assert!(network.next_link(name).await.up);
            }
            work(&mut network).await;
        })
        .unwrap();
}

fn hop(resolution: Resolution) -> NextHop {
    match resolution {
        Resolution::Resolved(hop) => hop,
        Resolution::Unresolved(reason) => panic!("{reason}"),
    }
}

fn mac(namespace: &Namespace, name: &str) -> [u8; 6] {
    let link = namespace.run_async(async || interface(name).await);
    link.unwrap().unwrap().unwrap().mac.unwrap()
}

fn attached(namespace: &Namespace, name: &str) -> Option<XdpAttached> {
    let found = namespace.run_async(async || {
        let link = interface(name).await.unwrap().unwrap();
        xdp_attached(link.ifindex).await
    });
    found.unwrap().unwrap()
}

fn set_up(namespace: &Namespace, interface: &str, up: bool) {
    let change = LinkUnspec::new_with_name(interface);
    let change = if up { change.up() } else { change.down() };
    namespace
        .configure(async |netlink| Ok(netlink.link().change(change.build()).execute().await?))
        .unwrap();
}

fn route(to: Ipv4Addr, prefix_length: u8, gateway: Ipv4Addr) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(to, prefix_length)
        .gateway(gateway)
        .build()
}

fn replace_route(namespace: &Namespace, route: RouteMessage) {
    namespace
        .configure(async |netlink| Ok(netlink.route().add(route).replace().execute().await?))
        .unwrap();
}

fn remove_route(namespace: &Namespace, route: RouteMessage) {
    namespace.configure(async |netlink| Ok(netlink.route().del(route).execute().await?)).unwrap();
}
