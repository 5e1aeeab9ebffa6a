//! Requests to the kernel's rtnetlink.

use std::io;

use futures_util::{Stream, TryStreamExt as _};
use rtnetlink::{Error, Handle, packet_route::link::LinkMessage};

/// Opens a socket for requests, in the calling thread's network namespace. To be called within a
/// tokio runtime.
pub(crate) fn connect() -> io::Result<Handle> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

/// The first message of an answer; none if the kernel knows nothing of what was asked for.
pub(crate) async fn first<T>(
    answer: impl Stream<Item = Result<T, Error>>,
    unknown: &[i32],
) -> io::Result<Option<T>> {
    let mut answer = std::pin::pin!(answer);
    match answer.try_next().await.map_err(os_error) {
        Err(error) if error.raw_os_error().is_some_and(|code| unknown.contains(&code)) => Ok(None),
        answer => answer,
    }
}

/// An interface by its name.
pub(crate) async fn link(netlink: &Handle, name: &str) -> io::Result<Option<LinkMessage>> {
    let answer = netlink.link().get().match_name(name).execute();
    first(answer, &[libc::ENODEV]).await
}

/// What the kernel has refused, without the bytes of the request.
pub(crate) fn os_error(error: Error) -> io::Error {
    match error {
        Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
