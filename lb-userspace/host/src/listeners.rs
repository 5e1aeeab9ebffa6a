//! Servers on this host that listen where a service's clients connect to: the XDP program would
//! take their connections.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use anyhow::{Context as _, Result};
use procfs::{
    net::{TcpNetEntry, TcpState},
    process::{FDTarget, Process, all_processes},
};

/// Listening sockets in the network namespace of this process.
#[derive(Debug, Default)]
pub struct Listeners {
    /// Inode of each listening socket.
    sockets: HashMap<SocketAddr, u64>,
    /// Connections to this host: peer by local address.
    connections: HashMap<SocketAddr, SocketAddr>,
    /// Programs that own the sockets found, by inode.
    programs: HashMap<u64, String>,
}

/// A server on this host that would lose connections to a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub message: String,
    pub fix: &'static str,
    /// True if it listens, or has a connection, at exactly the VIP; false if it listens at the
    /// unspecified address.
    pub is_exact: bool,
}

impl Listeners {
    /// Reads the sockets that listen where the clients of these VIPs connect to. Scans all
    /// processes if there are any.
    pub fn read(vips: impl IntoIterator<Item = SocketAddr>) -> Result<Self> {
        const UNREADABLE: &str = "cannot read the listening ports of this host";
        let own = Process::myself().context(UNREADABLE)?;
        let v4 = own.tcp().context(UNREADABLE)?;
        // The file is missing without IPv6.
        let v6 = own.tcp6().unwrap_or_default();
        let mut listeners = Self::of(v4.into_iter().chain(v6));
        let found = vips.into_iter().filter_map(|vip| listeners.socket(vip));
        let inodes: HashSet<u64> = found.map(|(_, inode)| inode).collect();
        listeners.programs = programs(inodes);
        Ok(listeners)
    }

    fn of(sockets: impl Iterator<Item = TcpNetEntry>) -> Self {
        let mut listeners = Self::default();
        for socket in sockets {
            let [local, remote] = [socket.local_address, socket.remote_address]
                .map(|at| SocketAddr::new(at.ip().to_canonical(), at.port()));
            match socket.state {
                TcpState::Listen => drop(listeners.sockets.insert(local, socket.inode)),
                TcpState::Established => drop(listeners.connections.insert(local, remote)),
                _ => {}
            }
        }
        listeners
    }

    /// Returns the server that listens where the clients of a VIP connect to.
    #[must_use]
    pub fn find(&self, vip: SocketAddr) -> Option<Listener> {
        let listening = self.socket(vip);
        if let (None, Some(peer)) = (listening, self.connections.get(&vip)) {
            let message = format!("this host has a connection of {peer} at {vip}, which would end");
            let fix = "give the service another address or port";
            return Some(Listener { message, fix, is_exact: true });
        }
        let (at, inode) = listening?;
        let program = self.programs.get(&inode).map_or("a server", String::as_str);
        if at == vip {
            let message = format!("{program} listens on {vip} on this host");
            let fix = "give the service another address or port, or stop that server";
            return Some(Listener { message, fix, is_exact: true });
        }
        if let Some(peer) = self.connections.get(&vip) {
            let message = format!(
                "{program} listens on {at} on this host and has a connection from {peer} to {vip}, \
                 which would end"
            );
            let fix = "give the service another address or port";
            return Some(Listener { message, fix, is_exact: true });
        }
        let message = format!(
            "{program} listens on {at} on this host: clients that connect to {vip} get the service \
             instead"
        );
        let fix = "if that server has other clients, let it listen only on the host's other \
             addresses";
        Some(Listener { message, fix, is_exact: false })
    }

    /// Returns the listening address and inode of the socket that the clients of a VIP would reach.
    fn socket(&self, vip: SocketAddr) -> Option<(SocketAddr, u64)> {
        let any_v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), vip.port());
        let any_v6 = SocketAddr::new(IpAddr::from([0_u16; 8]), vip.port());
        let places = [vip, any_v4, any_v6];
        places.into_iter().find_map(|at| Some((at, *self.sockets.get(&at)?)))
    }
}

/// Returns the programs that own these sockets, as far as they are visible.
fn programs(mut inodes: HashSet<u64>) -> HashMap<u64, String> {
    let mut programs = HashMap::new();
    if inodes.is_empty() {
        return programs;
    }
    for process in all_processes().into_iter().flatten().filter_map(Result::ok) {
        for inode in sockets(&process) {
            if !inodes.remove(&inode) {
                continue;
            }
            if let Ok(stat) = process.stat() {
                let name = crate::printable::line(&stat.comm);
                programs.insert(inode, format!("{name} (pid {})", stat.pid));
            }
        }
        if inodes.is_empty() {
            break;
        }
    }
    programs
}

fn sockets(process: &Process) -> impl Iterator<Item = u64> {
    let files = process.fd().into_iter().flatten().filter_map(Result::ok);
    files.filter_map(|file| match file.target {
        FDTarget::Socket(inode) => Some(inode),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn servers_on_this_host_are_found_with_their_programs() {
        let server = TcpListener::bind("127.0.0.1:0").expect("binds");
        let at = server.local_addr().expect("bound");
        let listeners = Listeners::read([at]).expect("readable");
        let found = listeners.find(at).expect("found");
        assert!(found.is_exact, "{found:?}");
        assert!(found.message.contains(&format!("listens on {at} on this host")), "{found:?}");
        assert!(found.message.contains(&format!("(pid {})", std::process::id())), "{found:?}");
        assert_eq!(listeners.find(SocketAddr::new([127, 9, 9, 9].into(), at.port())), None);
        drop(server);
        assert_eq!(Listeners::read([at]).expect("readable").find(at), None);
    }

    #[test]
    fn servers_on_all_addresses_differ_from_those_on_one() {
        for any in ["0.0.0.0:0", "[::]:0"] {
            let Ok(server) = TcpListener::bind(any) else { continue };
            let port = server.local_addr().expect("bound").port();
            let vip = SocketAddr::new([203, 0, 113, 10].into(), port);
            let found = Listeners::read([vip]).expect("readable").find(vip).expect(any);
            assert!(!found.is_exact, "{found:?}");
            let place = any.rsplit_once(':').expect("a port").0;
            assert!(found.message.contains(&format!("listens on {place}:{port} ")), "{found:?}");
        }
    }

    /// Like an ssh session, whose server listens at all addresses.
    #[test]
    fn a_connection_to_this_host_is_found_at_its_exact_address() {
        let server = TcpListener::bind("0.0.0.0:0").expect("binds");
        let port = server.local_addr().expect("bound").port();
        let vip = SocketAddr::new([127, 0, 0, 1].into(), port);
        let client = TcpStream::connect(vip).expect("connected");
        let found = Listeners::read([vip]).expect("readable").find(vip).expect("found");
        assert!(found.is_exact, "{found:?}");
        let peer = client.local_addr().expect("connected");
        assert!(found.message.contains(&format!("a connection from {peer} to {vip}")), "{found:?}");
    }

    #[test]
    fn mapped_addresses_are_the_ones_that_they_stand_for() {
        let Ok(server) = TcpListener::bind("[::ffff:127.0.0.1]:0") else { return };
        let at = server.local_addr().expect("bound");
        let at = SocketAddr::new([127, 0, 0, 1].into(), at.port());
        assert!(Listeners::read([at]).expect("readable").find(at).is_some_and(|one| one.is_exact));
    }
}
