//! Servers on this host that listen where a service's clients connect to: the program would take
//! their connections.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use anyhow::{Context as _, Result};
use procfs::{
    net::{TcpNetEntry, TcpState},
    process::{FDTarget, Process, all_processes},
};

/// What listens in the network namespace of this process.
#[derive(Debug, Default)]
pub struct Listeners(HashMap<SocketAddr, u64>);

/// A server on this host, and a VIP that it would lose connections to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub message: String,
    pub fix: &'static str,
    /// Whether it listens at that very address; otherwise at all addresses.
    pub is_exact: bool,
}

impl Listeners {
    pub fn read() -> Result<Self> {
        const UNREADABLE: &str = "cannot read which ports of this host are listened at";
        let own = Process::myself().context(UNREADABLE)?;
        let v4 = own.tcp().context(UNREADABLE)?;
        // There is none without IPv6.
        let v6 = own.tcp6().unwrap_or_default();
        Ok(Self::of(v4.into_iter().chain(v6)))
    }

    fn of(sockets: impl Iterator<Item = TcpNetEntry>) -> Self {
        let listening = sockets.filter(|socket| socket.state == TcpState::Listen);
        let place = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        Self(listening.map(|socket| (place(socket.local_address), socket.inode)).collect())
    }

    /// What listens where the clients of a VIP connect to.
    #[must_use]
    pub fn find(&self, vip: SocketAddr) -> Option<Listener> {
        if let Some(inode) = self.0.get(&vip) {
            let message = format!("{} listens at {vip} on this host", program(*inode));
            let fix = "give the service another address or port, or stop that server";
            return Some(Listener { message, fix, is_exact: true });
        }
        let any_v6 = SocketAddr::new(IpAddr::from([0_u16; 8]), vip.port());
        let any_v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), vip.port());
        let (any, inode) =
            [any_v4, any_v6].into_iter().find_map(|any| Some((any, self.0.get(&any)?)))?;
        let message = format!(
            "{} listens at {any} on this host: clients that connect to {vip} get the service instead",
            program(*inode)
        );
        let fix = "have that server listen at the host's other addresses only, if it is meant for \
                   other clients";
        Some(Listener { message, fix, is_exact: false })
    }
}

/// Whose socket that is, if it can be seen.
fn program(inode: u64) -> String {
    let owner = all_processes().ok().and_then(|processes| {
        processes.filter_map(Result::ok).find(|process| has_socket(process, inode))
    });
    let stat = owner.and_then(|owner| owner.stat().ok());
    stat.map_or_else(
        || "a server".to_owned(),
        |stat| format!("{} (pid {})", crate::printable::line(&stat.comm), stat.pid),
    )
}

fn has_socket(process: &Process, inode: u64) -> bool {
    let Ok(files) = process.fd() else { return false };
    files
        .filter_map(Result::ok)
        .any(|file| matches!(file.target, FDTarget::Socket(it) if it == inode))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn servers_on_this_host_are_found_with_their_programs() {
        let server = TcpListener::bind("127.0.0.1:0").expect("binds");
        let at = server.local_addr().expect("bound");
        let listeners = Listeners::read().expect("readable");
        let found = listeners.find(at).expect("found");
        assert!(found.is_exact, "{found:?}");
        assert!(found.message.contains(&format!("listens at {at} on this host")), "{found:?}");
        assert!(found.message.contains(&format!("(pid {})", std::process::id())), "{found:?}");
        assert_eq!(listeners.find(SocketAddr::new([127, 9, 9, 9].into(), at.port())), None);
        drop(server);
        assert_eq!(Listeners::read().expect("readable").find(at), None);
    }

    #[test]
    fn servers_at_all_addresses_are_told_from_those_at_one() {
        for any in ["0.0.0.0:0", "[::]:0"] {
            let Ok(server) = TcpListener::bind(any) else { continue };
            let port = server.local_addr().expect("bound").port();
            let vip = SocketAddr::new([203, 0, 113, 10].into(), port);
            let found = Listeners::read().expect("readable").find(vip).expect(any);
            assert!(!found.is_exact, "{found:?}");
            let place = any.rsplit_once(':').expect("a port").0;
            assert!(found.message.contains(&format!("listens at {place}:{port} ")), "{found:?}");
        }
    }

    #[test]
    fn mapped_addresses_are_the_ones_that_they_stand_for() {
        let Ok(server) = TcpListener::bind("[::ffff:127.0.0.1]:0") else { return };
        let at = server.local_addr().expect("bound");
        let at = SocketAddr::new([127, 0, 0, 1].into(), at.port());
        assert!(Listeners::read().expect("readable").find(at).is_some_and(|one| one.is_exact));
    }
}
