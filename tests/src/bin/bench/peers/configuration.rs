//! The configurations of the servers and balancers.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
};

use lb_userspace::testbed::{Host, Testbed};

use super::{candidate::PORT, iperf};

/// The balancer's address on the backends' side.
pub const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// The balancer's address on the client's side.
pub(super) fn gateway(testbed: &Testbed) -> Ipv4Addr {
    let [a, b, c, _] = testbed.vip().octets();
    Ipv4Addr::new(a, b, c, 1)
}

/// Returns a web server's configuration, with a minimal response.
pub(super) fn web_server(pid_file: &Path) -> String {
    let pid_file = pid_file.display();
    format!(
        r#"daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {pid_file};
error_log stderr;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    server {{
        listen {PORT} backlog=4096;
        location / {{ return 200 "hello\n"; }}
    }}
}}
"#
    )
}

/// Gives each worker its own socket, so that none wakes up for another's connection, and a buffer
/// that takes bulk data with few system calls.
pub(super) fn nginx_stream(testbed: &Testbed) -> String {
    let pid_file = testbed.directory().join("balancer.pid");
    let pid_file = pid_file.display();
    let (vip, bulk) = (vip(testbed), bulk(testbed.vip()));
    let servers = each(testbed, |address| format!("        server {address} max_fails=0;\n"));
    let bulk_server = bulk_server(testbed);
    format!(
        r"load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes auto;
worker_rlimit_nofile 16384;
pid {pid_file};
error_log stderr;
events {{ worker_connections 8192; }}
stream {{
    proxy_buffer_size 64k;
    upstream backends {{
{servers}    }}
    server {{
        listen {vip} reuseport backlog=4096;
        proxy_pass backends;
    }}
    server {{
        listen {bulk};
        proxy_pass {bulk_server};
    }}
}}
"
    )
}

/// Uses one thread: the better of one and two on two CPUs shared with clients and servers.
/// Forwarded data are spliced, without a copy, once there are enough of them.
pub(super) fn haproxy(testbed: &Testbed) -> String {
    let (vip, bulk) = (vip(testbed), bulk(testbed.vip()));
    let servers = each(testbed, |address| format!("    server {address} {address}\n"));
    let bulk_server = bulk_server(testbed);
    format!(
        r"global
    maxconn 6000
    nbthread 1
defaults
    mode tcp
    option splice-auto
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen balancer
    bind {vip} backlog 4096
    balance roundrobin
{servers}listen bulk
    bind {bulk}
    server {bulk_server} {bulk_server}
"
    )
}

/// Translation needs conntrack, so nothing can be left untracked. A flowtable would spare
/// established connections the hooks, but kernels without `CONFIG_NF_FLOW_TABLE` reject it.
pub(super) fn nftables(testbed: &Testbed) -> String {
    let vip = testbed.vip();
    let count = testbed.backends().len();
    let backends: Vec<_> = testbed.backends().iter().map(|host| host.address.to_string()).collect();
    let map: Vec<_> =
        backends.iter().enumerate().map(|(nth, address)| format!("{nth} : {address}")).collect();
    let map = map.join(", ");
    let (bulk_port, bulk_server) = (iperf::PORT, testbed.backends()[0].address);
    format!(
        r"table ip balancer {{
    chain prerouting {{
        type nat hook prerouting priority dstnat
        ip daddr {vip} tcp dport {PORT} dnat to numgen inc mod {count} map {{ {map} }}
        ip daddr {vip} tcp dport {bulk_port} dnat to {bulk_server}
    }}
}}
"
    )
}

pub(super) fn xdplb(testbed: &Testbed, mode: &str, sources: &[Ipv4Addr]) -> String {
    let interfaces = testbed.interfaces();
    let bpffs = testbed.bpffs().display();
    let (socket, state) =
        (testbed.directory().join("xdplb.sock"), testbed.directory().join("state"));
    let (socket, state) = (socket.display(), state.display());
    let sources: Vec<_> = [&INSIDE].into_iter().chain(sources).map(Ipv4Addr::to_string).collect();
    let (vip, bulk) = (vip(testbed), bulk(testbed.vip()));
    let backends =
        each(testbed, |address| format!("\n[[service.backend]]\naddress = \"{address}\"\n"));
    let bulk_server = bulk_server(testbed);
    format!(
        r#"interfaces = {interfaces:?}
xdp_mode = "{mode}"
bpffs = "{bpffs}"
state_dir = "{state}"
snat_addresses = {sources:?}

[api]
socket = "{socket}"

[[service]]
name = "web"
vip = "{vip}"

[service.health]
type = "tcp"
{backends}
[[service]]
name = "bulk"
vip = "{bulk}"

# iperf3 takes a check for a client.
[service.health]
type = "none"

[[service.backend]]
address = "{bulk_server}"
"#
    )
}

fn vip(testbed: &Testbed) -> SocketAddrV4 {
    SocketAddrV4::new(testbed.vip(), PORT)
}

fn bulk(address: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(address, iperf::PORT)
}

fn bulk_server(testbed: &Testbed) -> SocketAddrV4 {
    bulk(testbed.backends()[0].address)
}

fn each(testbed: &Testbed, line: impl Fn(SocketAddrV4) -> String) -> String {
    let address = |host: &Host| SocketAddrV4::new(host.address, PORT);
    testbed.backends().iter().map(address).map(line).collect()
}
