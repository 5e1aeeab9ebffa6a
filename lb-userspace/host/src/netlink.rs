//! Requests to the kernel's rtnetlink.

use std::{io, pin::pin, time::Duration};

use futures_util::{Stream, TryStreamExt as _};
use rtnetlink::{Error, Handle, packet_route::link::LinkMessage};
use tokio::time;

/// Timeout of a request. The kernel answers at once, unless the answer was lost.
const LONGEST: Duration = Duration::from_secs(5);

/// Opens a request socket in the calling thread's network namespace. It is closed with the last
/// clone of its handle. Must be called within a tokio runtime.
pub fn connect() -> io::Result<Handle> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

/// Returns the first message of an answer, or None if that is one of the given errors, by which the
/// kernel reports that the object does not exist.
pub async fn first<T>(
    answer: impl Stream<Item = Result<T, Error>>,
    unknown: &[i32],
) -> io::Result<Option<T>> {
    let mut answer = pin!(answer);
    let message = time::timeout(LONGEST, answer.try_next()).await?;
    match message.map_err(os_error) {
        Ok(Some(message)) => Ok(Some(message)),
        Ok(None) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) if unknown.contains(&error.raw_os_error().unwrap_or(0)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns true if an error of [`first`] is the kernel's answer, not the loss of one.
#[must_use]
pub fn is_answer(error: &io::Error) -> bool {
    error.raw_os_error().is_some()
}

/// Returns an interface by its name.
pub async fn link(netlink: &Handle, name: &str) -> io::Result<Option<LinkMessage>> {
    let answer = netlink.link().get().match_name(name).execute();
    first(answer, &[libc::ENODEV]).await
}

/// Converts the kernel's error, without the bytes of the request.
fn os_error(error: Error) -> io::Error {
    match error {
        Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
