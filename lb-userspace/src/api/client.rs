//! The daemon's API, from the other end.

use std::{
    fmt, io,
    net::SocketAddr,
    os::{fd::AsRawFd as _, unix::net},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request,
    body::{Bytes, Incoming},
    client::conn::http1::handshake,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use nix::sys::{
    socket::{
        AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket,
        sockopt::SendTimeout,
    },
    time::TimeVal,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, task::spawn_blocking};

use super::{FullVersion, NewBackend, Problem, Target, tables};
use crate::{
    connections::{Counts, Filter},
    control::{Keys, Plan, Proposal, ServiceView, Settings, Stats, Status, VersionView},
};

/// How long to wait until the daemon takes the connection.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    forces: bool,
}

/// Why the daemon has not done what it was asked for.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody listens at the socket.
    Absent {
        socket: PathBuf,
        error: io::Error,
    },
    /// The daemon has not come to take the connection.
    Busy(PathBuf),
    Refused(Problem),
    /// The conversation has failed.
    Broken(anyhow::Error),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { socket, error } => {
                let socket = socket.display();
                write!(
                    f,
                    "no daemon at {socket} ({error}): start it with `xdplb run -c FILE`, or name \
                     its socket with --socket"
                )
            }
            Self::Busy(socket) => {
                let (socket, patience) = (socket.display(), PATIENCE.as_secs());
                write!(
                    f,
                    "the daemon at {socket} is busy: it has not taken the connection within \
                     {patience} s: try again"
                )
            }
            Self::Refused(problem) => f.write_str(&problem.detail),
            Self::Broken(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for ClientError {}

impl Client {
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, forces: false }
    }

    /// One that has VIPs taken that servers of the daemon's host have, if it is root's.
    #[must_use]
    pub fn forcing(self, forces: bool) -> Self {
        Self { forces, ..self }
    }

    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    pub async fn stats(&self) -> Result<Stats, ClientError> {
        self.get("/v1/stats").await
    }

    /// Connections, a line each.
    pub async fn connections(&self, filter: &Filter) -> Result<Lines, ClientError> {
        let path = with_query("/v1/connections", filter)?;
        let stream = self.connect().await?;
        match ask(stream, Method::GET, &path, &()).await.map_err(ClientError::Broken)? {
            Ok(body) => Ok(Lines { body, rest: Vec::new() }),
            Err(problem) => Err(ClientError::Refused(problem)),
        }
    }

    pub async fn count_connections(&self, filter: &Filter) -> Result<Counts, ClientError> {
        self.get(&with_query("/v1/connections/count", filter)?).await
    }

    pub async fn services(&self) -> Result<Vec<ServiceView>, ClientError> {
        self.get("/v1/services").await
    }

    pub async fn service(&self, name: &str) -> Result<ServiceView, ClientError> {
        self.get(&service_path(name)).await
    }

    /// The keys are those of a table `[[service]]` of the file.
    pub async fn add_service(&self, keys: &Keys) -> Result<ServiceView, ClientError> {
        let body = tables::body_of(keys.clone());
        self.send(Method::POST, &self.of_manner("/v1/services"), &body).await
    }

    pub async fn set_service(&self, name: &str, keys: &Keys) -> Result<ServiceView, ClientError> {
        self.send(Method::PATCH, &self.of_manner(&service_path(name)), keys).await
    }

    pub async fn remove_service(&self, name: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, &service_path(name), &()).await
    }

    /// What a configuration file would change.
    pub async fn plan(&self, proposal: &Proposal) -> Result<Plan, ClientError> {
        self.send(Method::POST, &self.of_manner("/v1/plan"), proposal).await
    }

    pub async fn apply(&self, proposal: &Proposal) -> Result<Plan, ClientError> {
        self.send(Method::POST, &self.of_manner("/v1/apply"), proposal).await
    }

    /// The newest version first.
    pub async fn history(&self) -> Result<Vec<VersionView>, ClientError> {
        self.get("/v1/history").await
    }

    pub async fn version(&self, number: u64) -> Result<FullVersion, ClientError> {
        self.get(&format!("/v1/history/{number}")).await
    }

    /// What runs, as the configuration file that would make it.
    pub async fn export(&self) -> Result<String, ClientError> {
        let stream = self.connect().await?;
        let broken = |error| ClientError::Broken(error);
        match ask(stream, Method::GET, "/v1/export", &()).await.map_err(broken)? {
            Ok(body) => {
                let whole = body.collect().await.context(BROKEN_OFF).map_err(broken)?;
                let text = String::from_utf8(whole.to_bytes().into());
                text.context("the daemon's answer is no text").map_err(broken)
            }
            Err(problem) => Err(ClientError::Refused(problem)),
        }
    }

    pub async fn rollback(&self, target: Target) -> Result<Plan, ClientError> {
        self.send(Method::POST, &self.of_manner("/v1/rollback"), &target).await
    }

    pub async fn add(
        &self,
        service: &str,
        backend: &NewBackend,
    ) -> Result<ServiceView, ClientError> {
        let path = format!("{}/backends", service_path(service));
        self.send(Method::POST, &path, backend).await
    }

    pub async fn set(
        &self,
        service: &str,
        address: SocketAddr,
        settings: &Settings,
    ) -> Result<ServiceView, ClientError> {
        self.send(Method::PATCH, &backend_path(service, address), settings).await
    }

    pub async fn remove(
        &self,
        service: &str,
        address: SocketAddr,
    ) -> Result<ServiceView, ClientError> {
        self.send(Method::DELETE, &backend_path(service, address), &()).await
    }

    /// The path of a change that may be forced.
    fn of_manner(&self, path: &str) -> String {
        if self.forces { format!("{path}?force=true") } else { path.to_owned() }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::GET, path, &()).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let stream = self.connect().await?;
        exchange(stream, method, path, body).await.map_err(ClientError::Broken)?
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        let socket = self.socket.clone();
        let connecting = spawn_blocking(move || connect_in_turn(&socket)).await;
        let connected = connecting.map_err(io::Error::other).flatten();
        connected.and_then(UnixStream::from_std).map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, error: io::Error) -> ClientError {
        let socket = self.socket.clone();
        if error.kind() == io::ErrorKind::WouldBlock {
            return ClientError::Busy(socket);
        }
        if error.kind() != io::ErrorKind::PermissionDenied {
            return ClientError::Absent { socket, error };
        }
        let socket = socket.display();
        ClientError::Broken(anyhow!("{socket} is only for root and the socket's group ({error})"))
    }
}

/// Connects as soon as the daemon's queue has room. The kernel lets those who wait in one after the
/// other, which trying again and again would not.
fn connect_in_turn(path: &Path) -> io::Result<net::UnixStream> {
    let stream = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&stream, SendTimeout, &TimeVal::new(PATIENCE.as_secs().cast_signed(), 0))?;
    connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    let stream = net::UnixStream::from(stream);
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn service_path(name: &str) -> String {
    format!("/v1/services/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

fn with_query(path: &str, filter: &Filter) -> Result<String, ClientError> {
    let query = serde_urlencoded::to_string(filter);
    let query = query.context("the filter cannot be sent").map_err(ClientError::Broken)?;
    Ok(format!("{path}?{query}"))
}

fn backend_path(service: &str, address: SocketAddr) -> String {
    let address = address.to_string();
    let address = utf8_percent_encode(&address, NON_ALPHANUMERIC);
    format!("{}/backends/{address}", service_path(service))
}

/// Sends one request and reads the answer: what was asked for, or a problem.
async fn exchange<T: DeserializeOwned>(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: &impl Serialize,
) -> anyhow::Result<Result<T, ClientError>> {
    let body = match ask(stream, method, path, body).await? {
        Ok(body) => body.collect().await.context(BROKEN_OFF)?.to_bytes(),
        Err(problem) => return Ok(Err(ClientError::Refused(problem))),
    };
    let parsed = serde_json::from_slice(if body.is_empty() { b"null" } else { &body });
    Ok(Ok(parsed.context("the daemon's answer is not understood: is it of another version?")?))
}

const BROKEN_OFF: &str = "the daemon's answer broke off";

/// Sends one request; the answer is yet to be read, if it is not a problem.
async fn ask(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: &impl Serialize,
) -> anyhow::Result<Result<Incoming, Problem>> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "xdplb")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(serde_json::to_vec(body)?)))?;
    let answer = sender.send_request(request).await.context("the daemon does not answer")?;
    let status = answer.status();
    if status.is_success() {
        return Ok(Ok(answer.into_body()));
    }
    let body = answer.into_body().collect().await.context(BROKEN_OFF)?;
    let problem = serde_json::from_slice(&body.to_bytes());
    Ok(Err(problem.with_context(|| format!("the daemon answers {status}"))?))
}

/// An answer of one JSON object a line, as it comes.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    /// The beginning of a line.
    rest: Vec<u8>,
}

impl Lines {
    /// Some whole lines; nothing after the last one.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.context(BROKEN_OFF).map_err(ClientError::Broken)?;
            self.rest.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
            if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(end + 1);
                return Ok(Some(std::mem::replace(&mut self.rest, rest)));
            }
        }
        Ok(None)
    }
}
