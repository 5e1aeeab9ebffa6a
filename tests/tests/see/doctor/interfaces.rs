//! Faults of interfaces, their drivers and their other ends.

use lb_tests::servers::shell;

use super::bed::Bed;

#[test]
#[ignore = "needs root"]
fn a_healthy_bed_has_no_faults() {
    Bed::new().is_healthy();
}

#[test]
#[ignore = "needs root"]
fn a_missing_interface() {
    let bed = Bed::new();
    bed.set("interfaces = [\"eth0\", \"eth1\", \"eth7\"]");
    bed.expect("interface-missing", "eth7", "correct `interfaces`");
}

#[test]
#[ignore = "needs root"]
fn a_loopback_interface() {
    let bed = Bed::new();
    bed.set("interfaces = [\"eth0\", \"eth1\", \"lo\"]");
    bed.expect("interface-loopback", "lo", "list the interfaces towards clients and backends");
}

#[test]
#[ignore = "needs root"]
fn an_interface_that_is_down() {
    let bed = Bed::new();
    bed.run("ip link set dev eth1 down");
    bed.cure(&bed.expect("interface-down", "eth1", "ip link set dev eth1 up"));
}

#[test]
#[ignore = "needs root"]
fn an_interface_without_carrier() {
    let bed = Bed::new();
    shell(bed.testbed.switch(), "ip link set dev balancer-eth1 down");
    let found = bed.expect("interface-down", "eth1", "check the cable and the other end");
    assert_eq!(found.message, "it has no carrier");
}

#[test]
#[ignore = "needs root"]
fn an_interface_without_arp() {
    let bed = Bed::new();
    bed.run("ip link set dev eth0 arp off");
    bed.cure(&bed.expect("interface-without-arp", "eth0", "ip link set dev eth0 arp on"));
}

#[test]
#[ignore = "needs root"]
fn different_mtus() {
    let bed = Bed::new();
    bed.run("ip link set dev eth1 mtu 1400");
    bed.cure(&bed.expect("mtu-differs", "eth1", "ip link set dev eth1 mtu 1500"));
}

#[test]
#[ignore = "needs root"]
fn a_strict_reverse_path_filter() {
    let bed = Bed::new();
    bed.run("sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=1");
    let fix = "sysctl -w net/ipv4/conf/eth1/rp_filter=2";
    bed.cure(&bed.expect("rp-filter-strict", "eth1", fix));
}

#[test]
#[ignore = "needs root"]
fn a_foreign_program() {
    let bed = Bed::new();
    bed.balancer().attach_pass("eth0").expect("attached");
    let found = bed.expect("xdp-foreign", "eth0", "ip link set dev eth0 xdpdrv off");
    assert!(found.message.contains("(pass, id "), "{found:?}");
    bed.cure(&found);
}

#[test]
#[ignore = "needs root"]
fn an_interface_without_native_xdp() {
    let bed = Bed::new();
    shell(bed.testbed.switch(), "ethtool -L balancer-eth0 tx 2");
    let fix = "ip netns exec e2e-switch ethtool -L balancer-eth0 tx 1";
    bed.cure(&bed.expect("xdp-not-native", "eth0", fix));
}

#[test]
#[ignore = "needs root"]
fn a_veth_whose_other_end_has_no_program() {
    let bed = Bed::new();
    shell(bed.testbed.switch(), "ip link set dev balancer-eth0 xdpdrv off");
    let fix = "ip netns exec e2e-switch ip link set dev balancer-eth0 xdpdrv obj pass.o";
    bed.expect("veth-peer-without-xdp", "eth0", fix);
    bed.set("xdp_mode = \"generic\"");
    bed.is_healthy();
}

#[test]
#[ignore = "needs root"]
fn a_veth_whose_other_end_leaves_checksums() {
    let bed = Bed::new();
    shell(bed.testbed.switch(), "ethtool -K balancer-eth1 tx on");
    let fix = "ip netns exec e2e-switch ethtool -K balancer-eth1 tx off";
    bed.cure(&bed.expect("veth-peer-checksums", "eth1", fix));
}
