//! Who is at the other end of the socket.

use std::fmt;

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use tokio::net::{UnixListener, unix::UCred};

use super::accounts;

/// The process that asks, as the kernel names it.
#[derive(Clone, Debug)]
pub(super) struct Peer(Option<UCred>);

impl Peer {
    pub(super) const UNKNOWN: Self = Self(None);
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok())
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
