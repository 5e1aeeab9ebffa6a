//! Servers to check.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Starts to listen on a free port, and accepts nothing.
pub(super) async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Starts a server that answers every connection's first bytes with these.
pub(super) async fn serving(answer: &'static [u8]) -> SocketAddr {
    let (listener, address) = listening().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1_024];
                drop(stream.read(&mut request).await);
                stream.write_all(answer).await.ok();
            });
        }
    });
    address
}

/// Starts a server that answers, and then neither sends more nor closes until the test ends.
pub(super) async fn lingering(answer: &'static [u8]) -> SocketAddr {
    let (listener, address) = listening().await;
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(answer).await.ok();
            open.push(stream);
        }
    });
    address
}

/// Starts a server that answers without reading the request, waits until that is read, and resets
/// the connection.
pub(super) async fn rude(answer: &'static [u8]) -> SocketAddr {
    let (listener, address) = listening().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(answer).await.unwrap();
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.set_zero_linger().unwrap();
    });
    address
}
