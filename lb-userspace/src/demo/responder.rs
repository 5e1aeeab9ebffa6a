//! The web server of the demo's backends.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use axum::{
    Router,
    http::{HeaderName, HeaderValue},
};
use tokio::net::TcpListener;

/// Header with the `ADDR:PORT` of the backend that answered.
pub const BACKEND_HEADER: HeaderName = HeaderName::from_static("x-backend");

/// Answers every request with its name and address. The socket is closed when the future is
/// dropped; open connections then end with the runtime.
pub async fn serve(name: &str, address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{name} cannot listen on {address}"))?;
    let backend = HeaderValue::try_from(address.to_string())?;
    let answer = ([(BACKEND_HEADER, backend)], format!("{name} at {address}\n"));
    let application = Router::new().fallback(async || answer);
    axum::serve(listener, application).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::{BodyExt as _, Empty};
    use hyper::{Request, Response, body::Incoming, client::conn::http1};
    use hyper_util::rt::TokioIo;
    use tokio::{net::TcpStream, time};

    use super::*;

    #[tokio::test]
    async fn it_says_who_it_is() {
        let address = free_address().await;
        let server = tokio::spawn(serve("blue", address));
        let response = get(address).await;
        assert_eq!(response.headers()[BACKEND_HEADER], address.to_string().as_str());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("blue at {address}\n"));
        server.abort();
    }

    #[tokio::test]
    async fn it_stops_at_once_and_comes_back() {
        let address = free_address().await;
        for _ in 0..2 {
            let server = tokio::spawn(serve("blue", address));
            assert!(get(address).await.status().is_success());
            server.abort();
            assert!(server.await.unwrap_err().is_cancelled());
            assert!(TcpStream::connect(address).await.is_err());
        }
    }

    async fn free_address() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    /// Requests `/` as soon as the server is listening.
    async fn get(address: SocketAddr) -> Response<Incoming> {
        let stream = loop {
            match TcpStream::connect(address).await {
                Ok(stream) => break stream,
                Err(_) => time::sleep(Duration::from_millis(5)).await,
            }
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/").header("host", address.to_string());
        let request = request.body(Empty::<&[u8]>::new()).unwrap();
        sender.send_request(request).await.unwrap()
    }
}
