//! Network testbeds for the demo, the tests and the benchmark: a balancer, clients and backends in
//! network namespaces, joined by the bridges of a switch.
//!
//! ```text
//! two-arm   client1 ─┐                                     ┌─ backend1 10.0.0.11
//!           client2 ─┴─ clients ── eth0 balancer eth1 ── servers ── backend2 10.0.0.12
//!         203.0.113.0/24        .1, VIP .10    .1       10.0.0.0/24
//!
//! pair      as two-arm, with a second balancer at .2; neither has the VIP
//!
//! one-arm   client1 and backend1 ── servers ── eth0 balancer
//!                               10.0.0.0/24   .1, VIP .10
//! ```

mod bpffs;
mod directory;
mod namespace;
mod node;
mod pass;
mod propagation;
mod switch;

use std::{net::Ipv4Addr, path::Path};

use anyhow::{Context as _, Result};

pub use self::{bpffs::BpfFs, namespace::Namespace, node::Node};
use self::{
    directory::Directory,
    switch::{Cable, Switch},
};

const PREFIX_LENGTH: u8 = 24;

/// Names of the balancers.
const FIRST_NODE: &str = "balancer";
const SECOND_NODE: &str = "balancer2";

/// Last bytes of addresses on a LAN.
const BALANCER: u8 = 1;
const SECOND_BALANCER: u8 = 2;
const VIP: u8 = 10;
const FIRST_BACKEND: u8 = 11;
const FIRST_CLIENT: u8 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lan {
    bridge: &'static str,
    network: [u8; 3],
}

impl Lan {
    const CLIENTS: Self = Self { bridge: "clients", network: [203, 0, 113] };
    const SERVERS: Self = Self { bridge: "servers", network: [10, 0, 0] };

    fn address(self, last_byte: u8) -> Ipv4Addr {
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, last_byte)
    }
}

/// A client or a backend, with one interface `eth0`.
#[derive(Debug)]
pub struct Host {
    pub namespace: Namespace,
    pub address: Ipv4Addr,
}

/// A testbed, removed with all its processes on drop.
///
/// Its namespaces are `<prefix>-balancer`, `-switch`, `-client1`, `-backend1` and so on.
#[derive(Debug)]
pub struct Testbed {
    prefix: String,
    client_lan: Lan,
    server_lan: Lan,
    clients: Vec<Host>,
    backends: Vec<Host>,
    node: Node,
    /// The other balancer of a pair.
    second: Option<Node>,
    switch: Switch,
    directory: Directory,
}

impl Testbed {
    /// Creates a balancer between a LAN with one client and a LAN with some backends.
    pub fn two_arm(prefix: &str, backends: usize) -> Result<Self> {
        let mut testbed = Self::empty(prefix, Lan::CLIENTS, Lan::SERVERS)?;
        testbed.plug_balancer("eth0", Lan::CLIENTS)?;
        testbed.plug_balancer("eth1", Lan::SERVERS)?;
        testbed.populate(backends)?;
        Ok(testbed)
    }

    /// Creates two balancers between a LAN with one client and a LAN with some backends. The VIP is on neither.
    pub fn pair(prefix: &str, backends: usize) -> Result<Self> {
        let mut testbed = Self::empty(prefix, Lan::CLIENTS, Lan::SERVERS)?;
        let second = Node::create(prefix, SECOND_NODE)?;
        for (interface, lan) in [("eth0", Lan::CLIENTS), ("eth1", Lan::SERVERS)] {
            testbed.plug(&testbed.node, interface, lan, BALANCER)?;
            testbed.plug(&second, interface, lan, SECOND_BALANCER)?;
        }
        testbed.second = Some(second);
        testbed.populate(backends)?;
        Ok(testbed)
    }

    /// Creates a balancer, one client and some backends on one LAN.
    pub fn one_arm(prefix: &str, backends: usize) -> Result<Self> {
        let mut testbed = Self::empty(prefix, Lan::SERVERS, Lan::SERVERS)?;
        testbed.plug_balancer("eth0", Lan::SERVERS)?;
        testbed.populate(backends)?;
        Ok(testbed)
    }

    /// Removes the remains of an earlier testbed of that prefix, complete or not. Namespaces that
    /// others created stay, with their processes. An error keeps nothing else from being removed.
    pub fn remove(prefix: &str) -> Result<()> {
        let mut names = namespaces(prefix)?;
        names.retain(|name| namespace::is_own(name));
        let removed: Vec<_> = names.iter().map(|name| namespace::remove(name)).collect();
        let nodes = [FIRST_NODE, SECOND_NODE].map(|node| directory::bpffs(prefix, node));
        let unmounted: Vec<_> = nodes.iter().map(|path| bpffs::unmount(path)).collect();
        let unmounted: Result<()> = unmounted.into_iter().collect();
        removed.into_iter().chain([unmounted.and_then(|()| directory::remove(prefix))]).collect()
    }

    /// Returns true if a testbed of that prefix can be created: it has no namespace, not even a
    /// foreign one.
    pub fn is_free(prefix: &str) -> Result<bool> {
        Ok(namespaces(prefix)?.is_empty())
    }

    /// Returns true if there are remains of an earlier testbed of that prefix.
    pub fn has_left(prefix: &str) -> Result<bool> {
        let is_own = namespaces(prefix)?.iter().any(|name| namespace::is_own(name));
        Ok(is_own || directory::exists(prefix))
    }

    /// Leaves the testbed up.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    #[must_use]
    pub fn balancer(&self) -> &Namespace {
        self.node.namespace()
    }

    /// Returns the balancers: one, or two of a pair.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        [&self.node].into_iter().chain(&self.second)
    }

    /// Returns the balancer's interfaces: client side, then backend side if that is another one.
    #[must_use]
    pub fn interfaces(&self) -> &'static [&'static str] {
        if self.client_lan == self.server_lan { &["eth0"] } else { &["eth0", "eth1"] }
    }

    /// Returns an unused address on the balancer's client side, for a service.
    #[must_use]
    pub fn vip(&self) -> Ipv4Addr {
        self.client_lan.address(VIP)
    }

    /// Returns the namespace of the LANs. The balancer's veth pairs end in its ports
    /// `balancer-<interface>`.
    #[must_use]
    pub fn switch(&self) -> &Namespace {
        self.switch.namespace()
    }

    #[must_use]
    pub fn clients(&self) -> &[Host] {
        &self.clients
    }

    #[must_use]
    pub fn backends(&self) -> &[Host] {
        &self.backends
    }

    /// Returns the mount point of the balancer's BPF file system.
    #[must_use]
    pub fn bpffs(&self) -> &Path {
        self.node.bpffs()
    }

    /// Returns the directory of the testbed's sockets and configurations, removed with the testbed.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn add_client(&mut self) -> Result<&Host> {
        let nth = self.clients.len();
        let host = self.host("client", nth, self.client_lan, FIRST_CLIENT)?;
        Ok(self.clients.push_mut(host))
    }

    pub fn add_backend(&mut self) -> Result<&Host> {
        let nth = self.backends.len();
        let host = self.host("backend", nth, self.server_lan, FIRST_BACKEND)?;
        Ok(self.backends.push_mut(host))
    }

    /// Sets the MTU, in bytes, of every interface.
    pub fn set_mtu(&self, mtu: u32) -> Result<()> {
        let hosts = self.clients.iter().chain(&self.backends);
        hosts
            .map(|host| &host.namespace)
            .chain(self.nodes().map(Node::namespace))
            .chain([self.switch()])
            .try_for_each(|namespace| namespace.set_mtu(mtu))
    }

    /// Removes an interface of the balancer, with its addresses.
    pub fn unplug_balancer(&self, interface: &str) -> Result<()> {
        self.balancer().remove_link(interface)
    }

    /// Recreates one of the balancer's interfaces.
    pub fn replug_balancer(&self, interface: &str) -> Result<()> {
        let is_client_side = Some(&interface) == self.interfaces().first();
        self.plug_balancer(
            interface,
            if is_client_side { self.client_lan } else { self.server_lan },
        )
    }

    fn empty(prefix: &str, client_lan: Lan, server_lan: Lan) -> Result<Self> {
        // First, as it fails if such a testbed exists, whose directory must stay.
        let switch = Switch::create(&format!("{prefix}-switch"))?;
        let directory = Directory::create(prefix)?;
        switch.add_lan(server_lan.bridge)?;
        if client_lan != server_lan {
            switch.add_lan(client_lan.bridge)?;
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            client_lan,
            server_lan,
            clients: Vec::new(),
            backends: Vec::new(),
            node: Node::create(prefix, FIRST_NODE)?,
            second: None,
            switch,
            directory,
        })
    }

    fn plug_balancer(&self, interface: &str, lan: Lan) -> Result<()> {
        self.plug(&self.node, interface, lan, BALANCER)?;
        if lan == self.client_lan {
            self.balancer().add_address(interface, self.vip(), 32)?;
        }
        Ok(())
    }

    fn plug(&self, node: &Node, interface: &str, lan: Lan, last_byte: u8) -> Result<()> {
        let is_second = last_byte == SECOND_BALANCER;
        let port = format!("{}-{interface}", if is_second { SECOND_NODE } else { FIRST_NODE });
        let host = node.namespace();
        self.switch.plug(Cable { lan: lan.bridge, port: &port, host, interface })?;
        self.switch.serve_xdp(&port)?;
        host.add_address(interface, lan.address(last_byte), PREFIX_LENGTH)
    }

    fn populate(&mut self, backends: usize) -> Result<()> {
        self.add_client()?;
        for _ in 0..backends {
            self.add_backend()?;
        }
        Ok(())
    }

    fn host(&self, role: &str, nth: usize, lan: Lan, first: u8) -> Result<Host> {
        let name = format!("{role}{}", nth + 1);
        let last_byte = u8::try_from(nth)
            .ok()
            .and_then(|nth| first.checked_add(nth))
            .with_context(|| format!("there is no address left for {name}"))?;
        let address = lan.address(last_byte);
        let namespace = Namespace::create(&format!("{}-{name}", self.prefix))?;
        self.switch.plug(Cable {
            lan: lan.bridge,
            port: &name,
            host: &namespace,
            interface: "eth0",
        })?;
        namespace.add_address("eth0", address, PREFIX_LENGTH)?;
        Ok(Host { namespace, address })
    }
}

/// Returns the names of all namespaces with a prefix and a dash, like a testbed's.
fn namespaces(prefix: &str) -> Result<Vec<String>> {
    let mut names = namespace::names()?;
    names.retain(|name| name.rsplit_once('-').is_some_and(|(its, _)| its == prefix));
    Ok(names)
}

#[cfg(test)]
mod tests;
