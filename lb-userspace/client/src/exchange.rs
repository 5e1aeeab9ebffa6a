//! One request and its answer, over the daemon's socket.

use std::{
    io,
    os::{fd::AsRawFd as _, unix::net},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1::handshake,
    header::{CONTENT_TYPE, ETAG, HOST},
};
use hyper_util::rt::TokioIo;
use lb_model::Problem;
use nix::sys::{
    socket::{
        AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket,
        sockopt::SendTimeout,
    },
    time::TimeVal,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, task::spawn_blocking, time::timeout};

use crate::error::{BROKEN_OFF, ClientError, STRANGE};

/// Timeout for the daemon to accept the connection.
const ACCEPTANCE: Duration = Duration::from_secs(10);

/// The daemon's socket.
#[derive(Clone, Debug)]
pub(crate) struct Socket(PathBuf);

impl Socket {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Sends one request, and returns the answer when it begins. Its body is not read yet.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        patience: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "xdplb")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(serde_json::to_vec(body).map_err(anyhow::Error::from)?)))
            .map_err(anyhow::Error::from)?;
        let stream = self.connect().await?;
        let answering = send(stream, request);
        let answer =
            timeout(patience, answering).await.map_err(|_| self.late("answer", patience))??;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let problem: Problem = serde_json::from_slice(&whole(answer).await?)
            .with_context(|| format!("the daemon answers {status}"))?;
        Err(ClientError::Refused(problem))
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        let socket = self.0.clone();
        let connecting = spawn_blocking(move || connect_in_turn(&socket)).await;
        let connected = connecting.map_err(io::Error::other).flatten();
        connected.and_then(UnixStream::from_std).map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, error: io::Error) -> ClientError {
        if error.kind() == io::ErrorKind::WouldBlock {
            return self.late("accept the connection", ACCEPTANCE);
        }
        if error.kind() != io::ErrorKind::PermissionDenied {
            return ClientError::Absent { socket: self.0.clone(), error };
        }
        let socket = self.0.display();
        ClientError::Broken(anyhow!("{socket} is only for root and the socket's group ({error})"))
    }

    fn late(&self, what: &'static str, patience: Duration) -> ClientError {
        ClientError::Late { socket: self.0.clone(), what, patience }
    }
}

async fn send(
    stream: UnixStream,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Response<Incoming>> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let closed = "the daemon closed the connection before it answered: has it stopped?";
    sender.send_request(request).await.context(closed)
}

/// Returns the version of the document in an `ETag`.
pub(crate) fn version(answer: &Response<Incoming>) -> Option<u64> {
    answer.headers().get(ETAG)?.to_str().ok()?.trim_matches('"').parse().ok()
}

/// Reads an answer to its end.
pub(crate) async fn whole(answer: Response<Incoming>) -> Result<Bytes, ClientError> {
    Ok(answer.into_body().collect().await.context(BROKEN_OFF)?.to_bytes())
}

pub(crate) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    let body = if body.is_empty() { b"null" } else { body };
    Ok(serde_json::from_slice(body).context(STRANGE)?)
}

/// Connects as soon as the daemon's queue has room. Blocks in the kernel, which admits waiting
/// clients in order, unlike repeated attempts.
fn connect_in_turn(path: &Path) -> io::Result<net::UnixStream> {
    let stream = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&stream, SendTimeout, &TimeVal::new(ACCEPTANCE.as_secs().cast_signed(), 0))?;
    connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    let stream = net::UnixStream::from(stream);
    stream.set_nonblocking(true)?;
    Ok(stream)
}
