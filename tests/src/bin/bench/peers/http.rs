//! Requests to the servers.

use std::net::SocketAddrV4;

use anyhow::{Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const BUFFER: usize = 4_096;

/// Opens a connection, makes one request, and reads until the server closes it.
pub async fn fetch_once(target: SocketAddrV4) -> Result<()> {
    let mut stream = TcpStream::connect(target).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::with_capacity(BUFFER);
    stream.read_to_end(&mut answer).await?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "an answer is not 200 OK");
    Ok(())
}

/// Makes a request over a persistent connection.
pub async fn fetch(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n").await?;
    // The response is one segment.
    let mut answer = [0; BUFFER];
    let length = stream.read(&mut answer).await?;
    ensure!(answer[..length].starts_with(b"HTTP/1.1 200"), "an answer is not 200 OK");
    Ok(())
}
