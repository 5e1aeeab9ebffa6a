//! Clients whose replies need another next hop.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use lb_testbed::Namespace;
use lb_tests::{
    balancer::{Balancer, configuration},
    servers::{PORT, attempt},
    site::{Arms, backend, empty_testbed, vip},
};

/// Shorter than the half minute that the kernel alone takes.
const PATIENCE: Duration = Duration::from_secs(12);

fn ip(namespace: &Namespace, arguments: &[&str]) -> String {
    let output = attempt(namespace, "ip", arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "needs root"]
fn a_client_that_gets_another_mac_while_it_waits_gets_its_answer() {
    answers_after(|client| {
        ip(client, &["link", "set", "eth0", "address", "02:00:00:00:ee:01"]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_client_whose_mac_changes_and_changes_back_while_it_waits_gets_its_answer() {
    answers_after(|client| {
        let link = ip(client, &["-o", "link", "show", "eth0"]);
        let former = link.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
        let former = former.expect("a MAC address");
        ip(client, &["link", "set", "eth0", "address", "02:00:00:00:ee:02"]);
        thread::sleep(Duration::from_millis(50));
        ip(client, &["link", "set", "eth0", "address", former]);
    });
}

/// A client waits for an answer during a change in its namespace, which announces its MAC address
/// whenever that changes.
fn answers_after(happens: impl FnOnce(&Namespace)) {
    let testbed = empty_testbed(Arms::Two);
    let text = configuration(&testbed, "")
        + &format!(
            "[[service]]\nname = \"web\"\nvip = \"{}\"\nhealth.type = \"none\"\n",
            vip(&testbed)
        )
        + &format!("[[service.backend]]\naddress = \"{}\"\n", backend(&testbed, 0));
    let balancer = Balancer::start(&testbed, &text);
    balancer.wait_for("a backend in the ring", || balancer.services()[0].backends[0].in_ring);
    let client = &testbed.clients()[0];
    let (answer, when) = mpsc::channel::<()>();
    let server = &testbed.backends()[0].namespace;
    let listener =
        server.run(|| TcpListener::bind(("0.0.0.0", PORT)).expect("bound")).expect("runs");
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.read_exact(&mut [0; 8]).expect("a request");
            when.recv().expect("told to answer");
            stream.write_all(b"answer").expect("sent");
            // Waits until the client has it.
            stream.read_to_end(&mut Vec::new()).ok();
        });
        let connect = || TcpStream::connect(vip(&testbed)).expect("accepted");
        let mut stream = client.namespace.run(connect).expect("runs");
        stream.write_all(b"request!").expect("sent");
        let address = client.address.to_string();
        balancer.wait_for("the daemon following the client's MAC address", || {
            let known = ip(testbed.balancer(), &["neigh", "show", &address]);
            known.contains("REACHABLE")
        });
        client.namespace.set_sysctl("net.ipv4.conf.eth0.arp_notify", "1").expect("root");
        happens(&client.namespace);
        answer.send(()).expect("the server waits");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut bytes = [0; 6];
        stream.read_exact(&mut bytes).expect("the answer in time");
        assert_eq!(&bytes, b"answer");
    });
}
