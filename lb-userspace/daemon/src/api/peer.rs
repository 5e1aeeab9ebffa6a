//! Peer of the socket.

use std::fmt;

use tokio::net::UnixStream;

use crate::control::{Caller, Expected};
use lb_host::accounts;

/// The client's process, as reported by the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Option<Credentials>);

#[derive(Clone, Copy, Debug)]
struct Credentials {
    uid: u32,
    pid: Option<i32>,
}

impl Peer {
    pub(super) const UNKNOWN: Self = Self(None);

    pub(super) fn of(stream: &UnixStream) -> Self {
        let found = stream.peer_cred().ok();
        Self(found.map(|found| Credentials { uid: found.uid(), pid: found.pid() }))
    }

    #[cfg(test)]
    pub(super) fn of_uid(uid: u32) -> Self {
        Self(Some(Credentials { uid, pid: None }))
    }

    pub(super) fn uid(&self) -> Option<u32> {
        self.0.map(|credentials| credentials.uid)
    }

    /// Returns its process, as the daemon's own namespace numbers it.
    pub(super) fn pid(&self) -> Option<i32> {
        self.0.and_then(|credentials| credentials.pid)
    }

    pub(super) fn is_root(&self) -> bool {
        self.uid() == Some(0)
    }

    pub(super) fn caller(&self) -> Caller {
        self.forcing(false)
    }

    pub(super) fn forcing(&self, forces: bool) -> Caller {
        Caller {
            name: self.to_string(),
            is_root: self.is_root(),
            forces,
            expected: Expected::Any,
            is_dry_run: false,
        }
    }
}

/// Formats as `alice (uid 1000, pid 4711)`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(credentials) = &self.0 else { return f.write_str("somebody") };
        let uid = credentials.uid;
        let name = accounts::user(uid).unwrap_or_else(|| "unknown user".to_owned());
        write!(f, "{name} (uid {uid}")?;
        if let Some(pid) = credentials.pid {
            write!(f, ", pid {pid}")?;
        }
        f.write_str(")")
    }
}
