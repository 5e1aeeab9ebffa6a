//! The API: JSON over HTTP on a unix socket.

mod answers;
mod connections;
mod described;
mod document;
mod etag;
mod extract;
mod guests;
mod intake;
mod json;
mod manner;
mod peer;
mod problem;
mod repeated;
mod router;
mod routes;
mod searches;
pub(crate) mod server;
mod tables;
mod trace;
mod watched;
mod wording;

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use axum::{Extension, Router, extract::connect_info::MockConnectInfo};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::watch,
};

pub use self::described::description;
pub(crate) use self::intake::Intake;
use self::problem::Failed;
use crate::control::Handle;
use lb_host::accounts;
use lb_model::GROUP;

/// Read and write for root and the socket's group.
const PERMISSIONS: u32 = 0o660;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    file: SocketFile,
}

/// Path of a socket, removed on drop.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            log::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// Listens on a path, replacing a stale socket.
pub async fn listen(path: &Path) -> Result<Listener> {
    if has_listener(path).await {
        bail!("another daemon answers at {}: stop it first", path.display());
    }
    remove_stale(path).with_context(|| format!("cannot replace {}", path.display()))?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let socket =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    let file = SocketFile(path.to_owned());
    share(path);
    fs::set_permissions(path, fs::Permissions::from_mode(PERMISSIONS))
        .with_context(|| format!("cannot set the permissions of {}", path.display()))?;
    Ok(Listener { socket, file })
}

/// Returns true if a process listens, even if it is too busy to accept.
async fn has_listener(path: &Path) -> bool {
    match UnixStream::connect(path).await {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Gives the socket to the group, if it exists.
fn share(path: &Path) {
    let Some(group) = accounts::group(GROUP) else { return };
    let is_theirs = fs::metadata(path).is_ok_and(|socket| socket.gid() == group);
    if is_theirs {
        return;
    }
    if let Err(error) = chown(path, None, Some(group)) {
        log::warn!("cannot give {} to group {GROUP}: {error}", path.display());
    }
}

fn remove_stale(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => ensure!(
            found?.file_type().is_socket(),
            "it is not a socket: remove it, or set `api.socket` to another path"
        ),
    }
    Ok(fs::remove_file(path)?)
}

/// Serves until the other end of `stopped` is dropped.
pub async fn serve(listener: Listener, handle: Handle, stopped: watch::Receiver<()>) {
    serve_within(Intake::default(), listener, handle, stopped).await;
}

async fn serve_within(
    intake: Intake,
    listener: Listener,
    handle: Handle,
    mut stopped: watch::Receiver<()>,
) {
    let Listener { socket, file: _file } = listener;
    tokio::select! {
        never = server::serve(&socket, router::router(handle), intake) => match never {},
        _ = stopped.changed() => {}
    }
}

/// Returns the API without a socket, for requests of an unknown user.
#[doc(hidden)]
pub fn unnamed(handle: Handle) -> Router {
    let router = router::router(handle).layer(MockConnectInfo(peer::Peer::UNKNOWN));
    router.layer(Extension(guests::Guest::new(None)))
}

#[cfg(test)]
mod tests;
