//! TLS for clients other than checks.

use lb_model::CheckRequest;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{heard::Heard, outcome::Failure, tls::Tls};

/// Shakes hands with a server, whose certificate must be for this name or address, and by a CA that the host
/// trusts.
pub async fn secured(
    stream: TcpStream,
    name: &str,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, String> {
    let request = CheckRequest { sni: Some(name.to_owned()), ..CheckRequest::default() };
    let tls = Tls::new(&request).map_err(|fault| fault.message)?;
    let at = stream.peer_addr().map_err(|error| error.to_string())?;
    tls.shake_hands(stream, at, &Heard::default()).await.map_err(Failure::detail)
}
