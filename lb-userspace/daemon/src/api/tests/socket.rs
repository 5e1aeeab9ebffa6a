//! The socket's file, and clients that wait for it.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::Path,
    time::Duration,
};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, socket};
use tempfile::TempDir;
use tokio::{net::UnixStream, time::timeout};

use lb_client::{Client, ClientError};

use super::Testbed;
use crate::api::listen;

#[tokio::test]
async fn the_socket_is_for_root_and_its_group_and_is_removed_at_the_end() {
    let testbed = Testbed::new().await;
    let socket = testbed.socket();
    let mode = fs::metadata(&socket).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let second = listen(&socket).await.expect_err("one answers");
    assert!(second.to_string().contains("another daemon answers"), "{second}");
    drop(testbed.stopping);
    testbed.server.await.expect("no panic");
    let gone = fs::symlink_metadata(&socket).expect_err("gone");
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    let error = Client::new(socket).services().await.expect_err("nobody");
    assert!(matches!(error, ClientError::Absent { .. }), "{error}");
    assert!(error.to_string().contains("xdplb run -c FILE"), "{error}");
}

#[tokio::test]
async fn only_a_stale_socket_is_replaced() {
    let directory = TempDir::new().expect("a directory");
    let stale = directory.path().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("binds"));
    listen(&stale).await.expect("replaced");
    let file = directory.path().join("file");
    fs::write(&file, "precious").expect("written");
    let error = listen(&file).await.expect_err("not a socket");
    assert!(format!("{error:#}").contains("it is not a socket"), "{error:#}");
    assert_eq!(fs::read_to_string(&file).expect("still there"), "precious");
}

/// Returns a socket whose queue is full of these clients, none of which is accepted.
async fn busy_socket(path: &Path) -> (OwnedFd, Vec<UnixStream>) {
    let busy = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    let busy = busy.expect("a socket");
    bind(busy.as_raw_fd(), &UnixAddr::new(path).expect("short")).expect("binds");
    nix::sys::socket::listen(&busy, Backlog::new(0).expect("valid")).expect("listens");
    let mut queue = Vec::new();
    while let Ok(client) = UnixStream::connect(path).await {
        queue.push(client);
    }
    (busy, queue)
}

/// The daemon hangs, and has more clients than its queue can hold.
#[tokio::test]
async fn the_socket_of_a_busy_daemon_is_not_replaced() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("socket");
    let _busy = busy_socket(&path).await;
    let refused = listen(&path).await.expect_err("one listens");
    assert!(refused.to_string().contains("another daemon answers"), "{refused}");
    assert!(path.exists());
}

/// A busy daemon accepts its clients in turn.
#[tokio::test]
async fn a_client_waits_for_a_daemon_whose_queue_is_full() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("socket");
    let (busy, queue) = busy_socket(&path).await;
    let busy = std::os::unix::net::UnixListener::from(busy);
    let client = Client::new(path);
    let asking = client.services();
    tokio::pin!(asking);
    let early = timeout(Duration::from_millis(200), &mut asking).await;
    assert!(early.is_err(), "does not wait: {early:?}");
    let all = queue.len() + 1;
    let accepting = std::thread::spawn(move || {
        (0..all).for_each(|_| drop(busy.accept().expect("accepted")));
    });
    // The client was accepted, and sees that the connection has ended.
    let error = asking.await;
    accepting.join().expect("no panic");
    let error = error.expect_err("nobody answers");
    assert!(matches!(error, ClientError::Broken(_)), "{error}");
}

/// As one that was stopped by a signal: the kernel still takes clients into its queue.
#[tokio::test(start_paused = true)]
async fn a_client_does_not_wait_for_ever_for_a_daemon_that_answers_nothing() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("socket");
    let _silent = std::os::unix::net::UnixListener::bind(&path).expect("binds");
    let error = Client::new(path).status().await.expect_err("nobody answers");
    let ClientError::Late { what, .. } = error else { panic!("{error}") };
    assert_eq!(what, "answer");
}
