//! The daemon's API, from the other end.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, anyhow};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1::handshake,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use super::exit::Failure;
use crate::{
    api::{NewBackend, Problem},
    control::{ServiceView, Settings, Stats, Status},
};

pub(super) struct Client {
    socket: PathBuf,
}

impl Client {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(super) async fn status(&self) -> Result<Status, Failure> {
        self.get("/v1/status").await
    }

    pub(super) async fn stats(&self) -> Result<Stats, Failure> {
        self.get("/v1/stats").await
    }

    pub(super) async fn services(&self) -> Result<Vec<ServiceView>, Failure> {
        self.get("/v1/services").await
    }

    pub(super) async fn service(&self, name: &str) -> Result<ServiceView, Failure> {
        self.get(&format!("/v1/services/{name}")).await
    }

    pub(super) async fn add(
        &self,
        service: &str,
        backend: &NewBackend,
    ) -> Result<ServiceView, Failure> {
        self.send(Method::POST, &format!("/v1/services/{service}/backends"), backend).await
    }

    pub(super) async fn set(
        &self,
        service: &str,
        address: SocketAddr,
        settings: &Settings,
    ) -> Result<ServiceView, Failure> {
        let path = format!("/v1/services/{service}/backends/{address}");
        self.send(Method::PATCH, &path, settings).await
    }

    pub(super) async fn remove(
        &self,
        service: &str,
        address: SocketAddr,
    ) -> Result<ServiceView, Failure> {
        let path = format!("/v1/services/{service}/backends/{address}");
        self.send(Method::DELETE, &path, &()).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.send(Method::GET, path, &()).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let stream =
            UnixStream::connect(&self.socket).await.map_err(|error| self.absent(&error))?;
        let (status, answer) = exchange(stream, method, path, body).await?;
        if status.is_success() {
            let parsed = serde_json::from_slice(&answer);
            return Ok(parsed
                .context("the daemon's answer is not understood: is it of another version?")?);
        }
        let problem: Problem = serde_json::from_slice(&answer)
            .with_context(|| format!("the daemon answers {status}"))?;
        Err(anyhow!("{}", problem.detail).into())
    }

    fn absent(&self, error: &std::io::Error) -> Failure {
        let socket = self.socket.display();
        Failure::NoDaemon(format!(
            "no daemon at {socket} ({error}): start it with `xdplb run -c FILE`, or name its \
             socket with --socket"
        ))
    }
}

async fn exchange(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: &impl Serialize,
) -> anyhow::Result<(hyper::StatusCode, Bytes)> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "xdplb")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(serde_json::to_vec(body)?)))
        .context("this name cannot stand in a request")?;
    let answer = sender.send_request(request).await.context("the daemon does not answer")?;
    let status = answer.status();
    let body = answer.into_body().collect().await.context("the daemon's answer broke off")?;
    connection.abort();
    Ok((status, body.to_bytes()))
}
