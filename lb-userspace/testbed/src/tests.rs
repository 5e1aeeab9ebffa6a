use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use super::*;

#[test]
#[ignore = "needs root"]
fn root_hosts_of_a_lan_reach_each_other() {
    let testbed = Testbed::two_arm("t-reach", 2).unwrap();
    let [client] = testbed.clients() else { panic!("one client") };
    assert!(greets(testbed.balancer(), testbed.vip(), &client.namespace));
    for backend in testbed.backends() {
        assert!(greets(&backend.namespace, backend.address, testbed.balancer()));
        let unrouted = SocketAddr::from((backend.address, 80));
        let refused =
            client.namespace.run(|| TcpStream::connect_timeout(&unrouted, Duration::from_secs(1)));
        assert!(refused.unwrap().is_err(), "the balancer must not route");
    }
}

#[test]
#[ignore = "needs root"]
fn root_one_arm_puts_all_on_one_lan() {
    let mut testbed = Testbed::one_arm("t-onearm", 1).unwrap();
    testbed.add_client().unwrap();
    testbed.set_mtu(9000).unwrap();
    assert_eq!(testbed.interfaces(), ["eth0"]);
    let [first, second] = testbed.clients() else { panic!("two clients") };
    assert!(greets(testbed.balancer(), testbed.vip(), &second.namespace));
    assert!(greets(&first.namespace, first.address, &testbed.backends()[0].namespace));
}

#[test]
#[ignore = "needs root"]
fn root_a_dropped_testbed_leaves_nothing() {
    let testbed = Testbed::two_arm("t-drop", 1).unwrap();
    let directory = testbed.directory().to_owned();
    let mut sleeper = testbed.balancer().spawn(Command::new("sleep").arg("600")).unwrap();
    let second = Testbed::two_arm("t-drop", 1).unwrap_err();
    assert!(format!("{second:#}").contains("exists already"), "{second:#}");
    assert!(testbed.bpffs().is_dir());

    drop(testbed);
    assert!(!sleeper.wait().unwrap().success());
    assert!(!directory.exists());
    assert_eq!(namespaces_of("t-drop"), 0);
}

#[test]
#[ignore = "needs root"]
fn root_a_testbed_is_removed_after_ip_has_added_a_namespace() {
    Testbed::two_arm("t-ip", 1).unwrap().keep();
    let ip = |verb| Command::new("ip").args(["netns", verb, "t-ip-of"]).status().unwrap();
    assert!(ip("add").success());
    let removed = Testbed::remove("t-ip");
    assert!(ip("delete").success());
    removed.unwrap();
    assert_eq!(namespaces_of("t-ip"), 0);
}

#[test]
#[ignore = "needs root"]
fn root_a_kept_testbed_is_removed_by_name() {
    let longer = Testbed::two_arm("t-keep-longer", 1).unwrap();
    Testbed::two_arm("t-keep", 1).unwrap().keep();
    assert_eq!(namespaces_of("t-keep"), 4);

    Testbed::remove("t-keep").unwrap();
    Testbed::remove("t-keep").unwrap();
    assert_eq!(namespaces_of("t-keep"), 0);
    assert!(longer.bpffs().is_dir());
    assert_eq!(namespaces_of("t-keep-longer"), 4);
}

/// A foreign namespace stays, even if its name has the prefix.
#[test]
#[ignore = "needs root"]
fn root_a_namespace_of_others_stays_with_its_processes() {
    let ip = |arguments: &[&str]| {
        assert!(Command::new("ip").args(arguments).status().unwrap().success(), "{arguments:?}");
    };
    ip(&["netns", "add", "t-foreign-client1"]);
    let mut sleeper = Command::new("ip");
    sleeper.args(["netns", "exec", "t-foreign-client1", "sleep", "600"]);
    let mut sleeper = sleeper.spawn().unwrap();
    Testbed::two_arm("t-foreign", 1).unwrap_err();
    Testbed::remove("t-foreign").unwrap();
    assert_eq!(namespaces_of("t-foreign"), 1);
    assert!(sleeper.try_wait().unwrap().is_none());
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    ip(&["netns", "delete", "t-foreign-client1"]);
}

#[test]
#[ignore = "needs root"]
fn root_settings_stay_in_their_namespace() {
    let testbed = Testbed::one_arm("t-sysctl", 0).unwrap();
    testbed.balancer().set_sysctl("net.ipv4.ip_forward", "1").unwrap();
    let read = || fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    assert_eq!(testbed.balancer().run(read).unwrap().trim(), "1");
    assert_eq!(testbed.clients()[0].namespace.run(read).unwrap().trim(), "0");
}

fn namespaces_of(prefix: &str) -> usize {
    namespaces(prefix).unwrap().len()
}

/// Returns true if data from a server at an address reaches a client.
fn greets(server: &Namespace, address: Ipv4Addr, client: &Namespace) -> bool {
    let listener = server.run(|| TcpListener::bind((address, 80))).unwrap();
    let stream = client.run(|| TcpStream::connect((address, 80))).unwrap();
    listener.unwrap().accept().unwrap().0.write_all(b"hello").unwrap();
    let mut said = String::new();
    stream.unwrap().read_to_string(&mut said).unwrap();
    said == "hello"
}
