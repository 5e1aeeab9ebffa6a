//! Client of the daemon's API.

use std::{
    fmt, io, mem,
    net::SocketAddr,
    ops::Not,
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
use lb_model::{
    NewBackend, Problem, Proposal, Settings, Target,
    connections::{Clients, Counts, Filter, Kill, SearchView},
    keys::{Keys, body_of},
    views::{
        FullVersion, Plan, ServiceView, Stats, Status, VersionView,
        explanation::{Explanation, PacketQuery},
        trace::TraceFilter,
    },
};
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

/// Timeout for the daemon to accept the connection.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    manner: Manner,
}

/// Query parameters of changes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Manner {
    #[serde(skip_serializing_if = "Not::not")]
    force: bool,
    #[serde(skip_serializing_if = "Not::not")]
    dry_run: bool,
}

/// The service and the version of the document after a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    pub version: u64,
    pub service: ServiceView,
}

/// Error of a request to the daemon.
#[derive(Debug)]
pub enum ClientError {
    /// No process listens on the socket.
    Absent {
        socket: PathBuf,
        error: io::Error,
    },
    /// The daemon has not accepted the connection in time.
    Busy(PathBuf),
    Refused(Problem),
    /// The connection failed, or the answer is invalid.
    Broken(anyhow::Error),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { socket, error } => {
                let socket = socket.display();
                write!(
                    f,
                    "no daemon at {socket} ({error}): start it with `xdplb run -c FILE`, or give \
                     its socket with --socket"
                )
            }
            Self::Busy(socket) => {
                let (socket, patience) = (socket.display(), PATIENCE.as_secs());
                write!(
                    f,
                    "the daemon at {socket} is busy and did not accept the connection within \
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
        Self { socket, manner: Manner::default() }
    }

    /// Returns a client that takes VIPs that servers on the daemon's host listen on; needs root.
    #[must_use]
    pub fn forcing(self, force: bool) -> Self {
        Self { manner: Manner { force, ..self.manner }, ..self }
    }

    /// Returns a client whose changes are checked, but not applied.
    #[must_use]
    pub fn trying(self, dry_run: bool) -> Self {
        Self { manner: Manner { dry_run, ..self.manner }, ..self }
    }

    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.manner.dry_run
    }

    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    pub async fn stats(&self) -> Result<Stats, ClientError> {
        self.get("/v1/stats").await
    }

    /// Tells what would happen to a packet, and why.
    pub async fn explain(&self, query: &PacketQuery) -> Result<Explanation, ClientError> {
        self.get(&with_query("/v1/explain", query)?).await
    }

    /// Records packets: one [`TraceLine`](lb_model::views::trace::TraceLine) per line.
    pub async fn trace(&self, filter: &TraceFilter) -> Result<Lines, ClientError> {
        self.lines(&with_query("/v1/trace", filter)?).await
    }

    /// Lists connections, one per line.
    pub async fn connections(&self, filter: &Filter) -> Result<Lines, ClientError> {
        self.lines(&with_query("/v1/connections", filter)?).await
    }

    async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let stream = self.connect().await?;
        match ask(stream, Method::GET, path, &()).await.map_err(ClientError::Broken)? {
            Ok(body) => Ok(Lines { body, rest: Vec::new() }),
            Err(problem) => Err(ClientError::Refused(problem)),
        }
    }

    pub async fn count_connections(&self, filter: &Filter) -> Result<Counts, ClientError> {
        self.get(&with_query("/v1/connections/count", filter)?).await
    }

    /// Returns how far the running searches of connections have come.
    pub async fn searches(&self) -> Result<Vec<SearchView>, ClientError> {
        self.get("/v1/connections/searches").await
    }

    /// Returns the clients with the most connections.
    pub async fn busiest_clients(&self, filter: &Filter) -> Result<Clients, ClientError> {
        self.get(&with_query("/v1/connections/clients", filter)?).await
    }

    /// Kills connections, at least one criterion of which must be given, until it is done or cancelled.
    pub async fn kill_connections(&self, filter: &Filter) -> Result<Kill, ClientError> {
        self.send(Method::DELETE, &with_query("/v1/connections", filter)?, &()).await
    }

    pub async fn services(&self) -> Result<Vec<ServiceView>, ClientError> {
        self.get("/v1/services").await
    }

    pub async fn service(&self, name: &str) -> Result<ServiceView, ClientError> {
        self.get(&service_path(name)).await
    }

    /// Adds a service with the keys of a table `[[service]]` of the file.
    pub async fn add_service(&self, keys: &Keys) -> Result<Changed, ClientError> {
        let body = body_of(keys.clone());
        self.change(Method::POST, &self.of_manner("/v1/services")?, &body).await
    }

    pub async fn set_service(&self, name: &str, keys: &Keys) -> Result<Changed, ClientError> {
        self.change(Method::PATCH, &self.of_manner(&service_path(name))?, keys).await
    }

    /// Returns the new version of the document and, in a dry run, the service.
    pub async fn remove_service(
        &self,
        name: &str,
    ) -> Result<(u64, Option<ServiceView>), ClientError> {
        let path = self.of_trial(&service_path(name))?;
        let (service, version) = self.send_versioned(Method::DELETE, &path, &()).await?;
        Ok((version_of(version)?, service))
    }

    /// Returns the changes that a configuration file would make.
    pub async fn plan(&self, proposal: &Proposal) -> Result<Plan, ClientError> {
        self.send(Method::POST, &self.of_manner("/v1/plan")?, proposal).await
    }

    /// Applies a configuration file, or, in a dry run, returns what it would change.
    pub async fn apply(&self, proposal: &Proposal) -> Result<Plan, ClientError> {
        self.send(Method::POST, &self.of_manner("/v1/apply")?, proposal).await
    }

    /// Returns all versions, newest first.
    pub async fn history(&self) -> Result<Vec<VersionView>, ClientError> {
        self.get("/v1/history").await
    }

    pub async fn version(&self, number: u64) -> Result<FullVersion, ClientError> {
        self.get(&format!("/v1/history/{number}")).await
    }

    /// Returns the running configuration as a configuration file.
    pub async fn export(&self) -> Result<String, ClientError> {
        let stream = self.connect().await?;
        let broken = |error| ClientError::Broken(error);
        match ask(stream, Method::GET, "/v1/export", &()).await.map_err(broken)? {
            Ok(body) => {
                let whole = body.collect().await.context(BROKEN_OFF).map_err(broken)?;
                let text = String::from_utf8(whole.to_bytes().into());
                text.context("the daemon's answer is not text").map_err(broken)
            }
            Err(problem) => Err(ClientError::Refused(problem)),
        }
    }

    pub async fn rollback(&self, target: Target) -> Result<Plan, ClientError> {
        self.send(Method::POST, &self.of_manner("/v1/rollback")?, &target).await
    }

    pub async fn add(&self, service: &str, backend: &NewBackend) -> Result<Changed, ClientError> {
        let path = self.of_trial(&format!("{}/backends", service_path(service)))?;
        self.change(Method::POST, &path, backend).await
    }

    pub async fn set(
        &self,
        service: &str,
        address: SocketAddr,
        settings: &Settings,
    ) -> Result<Changed, ClientError> {
        let path = self.of_trial(&backend_path(service, address))?;
        self.change(Method::PATCH, &path, settings).await
    }

    pub async fn remove(&self, service: &str, address: SocketAddr) -> Result<Changed, ClientError> {
        let path = self.of_trial(&backend_path(service, address))?;
        self.change(Method::DELETE, &path, &()).await
    }

    /// Returns the path of a change that may be forced.
    fn of_manner(&self, path: &str) -> Result<String, ClientError> {
        with_query(path, &self.manner)
    }

    /// Returns the path of a change that sets no VIP.
    fn of_trial(&self, path: &str) -> Result<String, ClientError> {
        with_query(path, &Manner { force: false, ..self.manner })
    }

    async fn change(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Changed, ClientError> {
        let (service, version) = self.send_versioned(method, path, body).await?;
        Ok(Changed { version: version_of(version)?, service })
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
        let (answer, _) = self.send_versioned(method, path, body).await?;
        Ok(answer)
    }

    /// Returns the answer with the version of its document, if it has one.
    async fn send_versioned<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(T, Option<u64>), ClientError> {
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

/// Connects as soon as the daemon's queue has room. Blocks in the kernel, which admits waiting
/// clients in order, unlike repeated attempts.
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

fn version_of(tag: Option<u64>) -> Result<u64, ClientError> {
    tag.context(STRANGE).map_err(ClientError::Broken)
}

fn with_query(path: &str, filter: &impl Serialize) -> Result<String, ClientError> {
    let query = serde_urlencoded::to_string(filter);
    let query = query.context("the filter cannot be sent").map_err(ClientError::Broken)?;
    Ok(if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
}

fn backend_path(service: &str, address: SocketAddr) -> String {
    let address = address.to_string();
    let address = utf8_percent_encode(&address, NON_ALPHANUMERIC);
    format!("{}/backends/{address}", service_path(service))
}

/// Sends one request and reads the answer.
async fn exchange<T: DeserializeOwned>(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: &impl Serialize,
) -> anyhow::Result<Result<(T, Option<u64>), ClientError>> {
    let (body, version) = match answer(stream, method, path, body).await? {
        Ok(answer) => {
            let version = version(&answer);
            (answer.into_body().collect().await.context(BROKEN_OFF)?.to_bytes(), version)
        }
        Err(problem) => return Ok(Err(ClientError::Refused(problem))),
    };
    let parsed = serde_json::from_slice(if body.is_empty() { b"null" } else { &body });
    Ok(Ok((parsed.context(STRANGE)?, version)))
}

/// Error of an answer that cannot be parsed.
pub const STRANGE: &str = "cannot parse the daemon's answer: is the daemon of another version?";

/// Returns the version in an `ETag`.
fn version(answer: &Response<Incoming>) -> Option<u64> {
    answer.headers().get(ETAG)?.to_str().ok()?.trim_matches('"').parse().ok()
}

const BROKEN_OFF: &str = "the daemon's answer was cut short";

/// Sends one request; returns the unread body of the answer, or the problem.
async fn ask(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: &impl Serialize,
) -> anyhow::Result<Result<Incoming, Problem>> {
    Ok(answer(stream, method, path, body).await?.map(Response::into_body))
}

async fn answer(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: &impl Serialize,
) -> anyhow::Result<Result<Response<Incoming>, Problem>> {
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
        return Ok(Ok(answer));
    }
    let body = answer.into_body().collect().await.context(BROKEN_OFF)?;
    let problem = serde_json::from_slice(&body.to_bytes());
    Ok(Err(problem.with_context(|| format!("the daemon answers {status}"))?))
}

/// Streamed answer with one JSON object per line.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    /// Start of an incomplete line.
    rest: Vec<u8>,
}

impl Lines {
    /// Returns the objects of some complete lines, or None at the end.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Vec<T>>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.context(BROKEN_OFF).map_err(ClientError::Broken)?;
            self.rest.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
            if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(end + 1);
                let lines = mem::replace(&mut self.rest, rest);
                let objects = serde_json::Deserializer::from_slice(&lines)
                    .into_iter()
                    .collect::<Result<_, _>>();
                return Ok(Some(objects.context(STRANGE).map_err(ClientError::Broken)?));
            }
        }
        Ok(None)
    }
}
