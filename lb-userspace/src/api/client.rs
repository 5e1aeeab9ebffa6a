//! The daemon's API, from the other end.

use std::{fmt, io, net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, anyhow};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1::handshake,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use super::{NewBackend, Problem};
use crate::control::{ServiceView, Settings, Stats, Status};

#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why the daemon has not done what it was asked for.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody listens at the socket.
    Absent {
        socket: PathBuf,
        error: io::Error,
    },
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
            Self::Refused(problem) => f.write_str(&problem.detail),
            Self::Broken(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for ClientError {}

impl Client {
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    pub async fn stats(&self) -> Result<Stats, ClientError> {
        self.get("/v1/stats").await
    }

    pub async fn services(&self) -> Result<Vec<ServiceView>, ClientError> {
        self.get("/v1/services").await
    }

    pub async fn service(&self, name: &str) -> Result<ServiceView, ClientError> {
        self.get(&service_path(name)).await
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

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::GET, path, &()).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| self.unreachable(error))?;
        exchange(stream, method, path, body).await.map_err(ClientError::Broken)?
    }

    fn unreachable(&self, error: io::Error) -> ClientError {
        let socket = self.socket.clone();
        if error.kind() != io::ErrorKind::PermissionDenied {
            return ClientError::Absent { socket, error };
        }
        let socket = socket.display();
        ClientError::Broken(anyhow!("{socket} is only for root and the socket's group ({error})"))
    }
}

fn service_path(name: &str) -> String {
    format!("/v1/services/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
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
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "xdplb")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(serde_json::to_vec(body)?)))?;
    let answer = sender.send_request(request).await.context("the daemon does not answer")?;
    let status = answer.status();
    let body = answer.into_body().collect().await.context("the daemon's answer broke off")?;
    connection.abort();
    if !status.is_success() {
        let problem = serde_json::from_slice(&body.to_bytes());
        let problem = problem.with_context(|| format!("the daemon answers {status}"))?;
        return Ok(Err(ClientError::Refused(problem)));
    }
    let parsed = serde_json::from_slice(&body.to_bytes());
    Ok(Ok(parsed.context("the daemon's answer is not understood: is it of another version?")?))
}
