//! The probe of type `tcp`: a connection that is accepted.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, time};

use super::Outcome;

/// Connects to `address` and takes the connection down at once. Names results as `HAProxy` does:
/// `L4OK`, `L4CON` (refused or unreachable) and `L4TOUT`.
pub(super) async fn probe(address: SocketAddr, timeout: Duration) -> Outcome {
    let started = Instant::now();
    match time::timeout(timeout, connect(address)).await {
        Ok(Ok(())) => Outcome {
            success: true,
            detail: format!("L4OK connected in {:.1?}", started.elapsed()),
        },
        Ok(Err(error)) => Outcome { success: false, detail: format!("L4CON {error}") },
        Err(_) => Outcome { success: false, detail: format!("L4TOUT no answer in {timeout:?}") },
    }
}

/// The connection ends in a reset, as `TIME_WAIT` would keep a source port from the traffic.
async fn connect(address: SocketAddr) -> io::Result<()> {
    TcpStream::connect(address).await?.set_zero_linger()
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    const SOON: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_listening_server_is_ok() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let outcome = probe(server.local_addr().unwrap(), SOON).await;
        assert!(outcome.success);
        assert!(outcome.detail.starts_with("L4OK connected in "), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        let bound = TcpSocket::new_v4().unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let outcome = probe(bound.local_addr().unwrap(), SOON).await;
        assert!(!outcome.success);
        assert!(outcome.detail.starts_with("L4CON Connection refused"), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_silent_server_times_out() {
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = silent.listen(1).unwrap();
        let address = silent.local_addr().unwrap();
        let backlog = [
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        ];
        let outcome = probe(address, SOON).await;
        drop(backlog);
        assert_eq!(outcome.detail, "L4TOUT no answer in 200ms");
    }
}
