//! Who is at the other end of the socket.

use std::fmt;

use tokio::net::{UnixStream, unix::UCred};

use crate::{accounts, control::Caller};

/// The process that asks, as the kernel names it.
#[derive(Clone, Debug)]
pub(super) struct Peer(Option<UCred>);

impl Peer {
    pub(super) const UNKNOWN: Self = Self(None);

    pub(super) fn of(stream: &UnixStream) -> Self {
        Self(stream.peer_cred().ok())
    }

    pub(super) fn caller(&self) -> Caller {
        Caller { name: self.to_string(), is_root: self.is_root() }
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.is_some_and(|credentials| credentials.uid() == 0)
    }
}

/// As in `alice (uid 1000, pid 4711)`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(credentials) = &self.0 else { return f.write_str("somebody") };
        let uid = credentials.uid();
        let name = accounts::user(uid).unwrap_or_else(|| "nobody known".to_owned());
        write!(f, "{name} (uid {uid}")?;
        if let Some(pid) = credentials.pid() {
            write!(f, ", pid {pid}")?;
        }
        f.write_str(")")
    }
}
