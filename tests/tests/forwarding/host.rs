//! The balancer's own traffic, on the interfaces of its services.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    thread::sleep,
    time::Duration,
};

use lb_tests::{
    servers::{attempt, client, start},
    site::{Arms, site},
};

/// Port of the host's sshd: any port without a service.
const SSH: u16 = 22;

#[test]
#[ignore = "needs root"]
fn a_vip_that_no_packets_come_in_for_is_warned_of_until_they_do() {
    const VIP: &str = "203.0.113.99";
    let site = site(Arms::One, [1; 3]);
    let warned = "no interface of this host has 203.0.113.99";
    let warns = || site.balancer.status().warnings.iter().any(|one| one.contains(warned));
    assert_eq!(site.balancer.status().warnings, [""; 0]);
    let added = site.balancer.xdplb(&["service", "add", "far", "--vip", "203.0.113.99:80"]);
    let said = String::from_utf8_lossy(&added.stderr);
    assert!(added.status.success() && said.contains(warned), "{said}");
    assert!(said.contains("ip address add 203.0.113.99/32"), "{said}");
    assert!(warns(), "in status, too");
    let ip = |arguments: &[&str]| {
        let mut command = Command::new("ip");
        let done = site.testbed.balancer().spawn(command.args(arguments)).expect("started").wait();
        assert!(done.expect("ended").success(), "{arguments:?}");
    };
    let route = ["route", "add", "local", VIP, "dev", "lo"];
    ip(&route);
    site.balancer.wait_for("a route to count", || !warns());
    ip(&["route", "del", "local", VIP, "dev", "lo"]);
    site.balancer.wait_for("the missing route to be seen", warns);
    ip(&["address", "add", VIP, "dev", "lo"]);
    site.balancer.wait_for("an address to count", || !warns());
}

#[test]
#[ignore = "needs root"]
fn the_hosts_own_servers_and_clients_go_on_working() {
    let site = site(Arms::One, [1; 3]);
    let own = "10.0.0.1";
    let greeting = site.testbed.balancer().run(|| {
        let listener = TcpListener::bind((own, SSH)).expect("free");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            stream.write_all(b"SSH-2.0-host\r\n").expect("sent");
        });
        let namespace = &site.testbed.clients()[0].namespace;
        namespace.run(|| {
            let mut stream = TcpStream::connect((own, SSH)).expect("the host answers");
            let mut greeting = String::new();
            stream.read_to_string(&mut greeting).expect("read");
            greeting
        })
    });
    assert_eq!(greeting.expect("entered").expect("entered"), "SSH-2.0-host\r\n");

    let url = format!("http://{}/", site.testbed.backends()[0].address);
    let answer = attempt(site.testbed.balancer(), "curl", &["-sSf", "-m", "5", &url]);
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "backend0");
    let _ = client(&site.testbed.clients()[0], "ping", &["-c1", "-W2", own]);
    let _ = client(
        &site.testbed.clients()[0],
        "ping",
        &["-c1", "-W2", &site.testbed.vip().to_string()],
    );
}

#[test]
#[ignore = "needs root"]
fn ssh_to_the_balancer_works() {
    let site = site(Arms::One, [1; 3]);
    let directory = site.testbed.directory().join("ssh");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::create_dir_all("/run/sshd").expect("sshd's own");
    let key = directory.join("key").display().to_string();
    let made = Command::new("ssh-keygen").args(["-qt", "ed25519", "-N", "", "-f", &key]).status();
    assert!(made.expect("openssh is installed").success());
    let public = format!("{key}.pub");
    let authorized = format!("AuthorizedKeysFile={public}");
    let host_key = format!("HostKey={key}");
    let options = ["-D", "-f/dev/null", "-oStrictModes=no", "-oUsePAM=no", "-oPermitRootLogin=yes"];
    let keys = ["-o", &authorized, "-o", &host_key];
    let sshd = [&options[..], &keys].concat();
    let _sshd = start(site.testbed.balancer(), "/usr/sbin/sshd", &sshd);
    sleep(Duration::from_secs(1));
    let arguments = ["-i", &key, "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null"];
    let command = ["-oConnectTimeout=5", "root@10.0.0.1", "echo", "reached"];
    let said = client(&site.testbed.clients()[0], "ssh", &[&arguments[..], &command].concat());
    assert_eq!(said, "reached\n");
}
