//! Faults of services' addresses, and of source addresses and ports.

use std::net::TcpListener;

use lb_tests::site::vip;

use lb_tests::servers::shell;

use super::bed::Bed;

const VIP: &str = "web (203.0.113.10)";

#[test]
#[ignore = "needs root"]
fn a_vip_that_nobody_announces() {
    let bed = Bed::new();
    bed.run("ip address del 203.0.113.10/32 dev eth0");
    let fix = "ip address add 203.0.113.10/32 dev eth0";
    bed.cure(&bed.expect("vip-unrouted", VIP, fix));
}

#[test]
#[ignore = "needs root"]
fn a_vip_that_another_host_has() {
    let bed = Bed::new();
    let client = &bed.testbed.clients()[0].namespace;
    shell(client, "ip address add 203.0.113.10/32 dev eth0");
    let fix = "ip address del 203.0.113.10/32 dev INTERFACE, on the host with ";
    bed.expect("vip-conflict", VIP, fix);
    shell(client, "ip address del 203.0.113.10/32 dev eth0");
    bed.is_healthy();
}

#[test]
#[ignore = "needs root"]
fn a_vip_whose_arp_requests_are_ignored() {
    let bed = Bed::new();
    bed.run("ip address del 203.0.113.10/32 dev eth0 && ip address add 203.0.113.10/32 dev lo");
    bed.is_healthy();
    bed.run("sysctl -w net.ipv4.conf.eth0.arp_ignore=1");
    let fix = "sysctl -w net/ipv4/conf/all/arp_ignore=0 net/ipv4/conf/eth0/arp_ignore=0";
    bed.cure(&bed.expect("vip-arp-ignored", VIP, fix));
}

#[test]
#[ignore = "needs root"]
fn a_vip_whose_port_a_server_has() {
    let bed = Bed::new();
    let at = vip(&bed.testbed);
    let server = bed.balancer().run(|| TcpListener::bind(at)).expect("run").expect("bound");
    let fix = "give the service another address or port, or stop that server";
    let found = bed.expect("vip-port-taken", &format!("web ({at})"), fix);
    assert!(found.message.contains(&format!("(pid {})", std::process::id())), "{found:?}");
    drop(server);
    bed.is_healthy();
}

#[test]
#[ignore = "needs root"]
fn a_source_address_that_is_missing() {
    let bed = Bed::new();
    bed.set("snat_addresses = [\"10.0.0.99\"]");
    let fix = "ip address add 10.0.0.99/32 dev eth1";
    bed.cure(&bed.expect("snat-address-missing", "10.0.0.99", fix));
}

#[test]
#[ignore = "needs root"]
fn a_source_address_that_another_host_has() {
    let mut bed = Bed::new();
    let other = &bed.testbed.add_backend().expect("a host").namespace;
    shell(other, "ip address add 10.0.0.1/32 dev eth0");
    let fix = "ip address del 10.0.0.1 dev INTERFACE, on the host with ";
    bed.expect("source-conflict", "10.0.0.1", fix);
}

#[test]
#[ignore = "needs root"]
fn source_ports_that_the_kernel_uses() {
    let bed = Bed::new();
    bed.balancer().set_sysctl("net.ipv4.ip_local_port_range", "1024 65535").expect("set");
    let fix = "sysctl -w net.ipv4.ip_local_reserved_ports=1024-32767";
    bed.cure(&bed.expect("snat-ports-clash", "snat_ports", fix));
}
