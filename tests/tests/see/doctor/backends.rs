//! Faults on the way to backends.

use lb_tests::servers::shell;

use super::bed::Bed;

#[test]
#[ignore = "needs root"]
fn a_backend_that_is_the_balancer() {
    let bed = Bed::new();
    bed.add_backend(([10, 0, 0, 1], 80).into());
    bed.expect("backend-local", "10.0.0.1", "xdplb backend remove web 10.0.0.1:PORT");
}

#[test]
#[ignore = "needs root"]
fn a_backend_without_a_route() {
    let bed = Bed::new();
    bed.add_backend(([192, 0, 2, 5], 80).into());
    let fix = "ip route add 192.0.2.5 via ROUTER";
    let found = bed.expect("backend-unroutable", "192.0.2.5", fix);
    let (command, _) = found.fix.split_once(',').expect("a command");
    bed.run(&command.replace("ROUTER", "10.0.0.11"));
    bed.is_healthy();
}

#[test]
#[ignore = "needs root"]
fn backends_behind_an_interface_that_is_not_configured() {
    let bed = Bed::new();
    bed.set("interfaces = [\"eth0\"]");
    let found = bed.expect(
        "backend-interface",
        "10.0.0.11, 10.0.0.12, 10.0.0.13",
        "interfaces = [\"eth0\", \"eth1\"]",
    );
    bed.set(&found.fix);
    bed.is_healthy();
}

#[test]
#[ignore = "needs root"]
fn a_backend_that_does_not_answer() {
    let bed = Bed::new();
    let backend = &bed.testbed.backends()[1].namespace;
    shell(backend, "ip link set dev eth0 down");
    let fix = "start it, or take it out: xdplb backend remove web 10.0.0.12:PORT";
    bed.expect("next-hop-silent", "10.0.0.12", fix);
    shell(backend, "ip link set dev eth0 up");
    bed.is_healthy();
}

#[test]
#[ignore = "needs root"]
fn a_router_that_does_not_answer() {
    let bed = Bed::new();
    bed.add_backend(([192, 0, 2, 5], 80).into());
    bed.run("ip route add 192.0.2.0/24 via 10.0.0.254");
    let fix = "start it, or change the routes";
    bed.expect("next-hop-silent", "10.0.0.254", fix);
}

#[test]
#[ignore = "needs root"]
fn a_check_whose_program_is_missing() {
    let bed = Bed::new();
    let check = "[service.health]\ntype = \"exec\"\ncommand = [\"/no/such/program\"]\n";
    bed.configure(&bed.text().replace("[service.health]\n", check));
    let found = bed.expect("check-program", "web", "install it, or correct `health.command`");
    assert!(found.message.contains("/no/such/program cannot be run"), "{found:?}");
}
