//! What can be asked, where.

use std::net::SocketAddr;

use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::StatusCode,
    routing::{get, patch, post},
};
use serde::{Deserialize, Serialize};

use super::{
    Problem, connections, document,
    extract::{Body, Path},
    peer::Peer,
};
use crate::{
    control::{Change, Handle, Keys, ServiceView, Settings, Stats, Status},
    model::{Admin, Backend},
};

/// In bytes: more than a configuration file of a million backends has.
const LARGEST_BODY: usize = 256 << 20;

/// The body that adds a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBackend {
    pub address: SocketAddr,
    #[serde(default = "one")]
    pub weight: u16,
    #[serde(default)]
    pub backup: bool,
}

pub(super) fn router(handle: Handle) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/stats", get(stats))
        .route("/v1/connections", get(connections::list))
        .route("/v1/connections/count", get(connections::count))
        .route("/v1/plan", post(document::plan))
        .route("/v1/apply", post(document::apply))
        .route("/v1/history", get(document::history))
        .route("/v1/history/{version}", get(document::version))
        .route("/v1/rollback", post(document::rollback))
        .route("/v1/services", get(services).post(add_service))
        .route("/v1/services/{name}", get(service).patch(set_service).delete(remove_service))
        .route("/v1/services/{name}/backends", post(add_backend))
        .route("/v1/services/{name}/backends/{address}", patch(set_backend).delete(remove_backend))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
        })
        .with_state(handle)
}

async fn status(State(handle): State<Handle>) -> Result<Json<Status>, Problem> {
    Ok(Json(handle.status().await?))
}

async fn stats(State(handle): State<Handle>) -> Result<Json<Stats>, Problem> {
    Ok(Json(handle.stats().await?))
}

async fn services(State(handle): State<Handle>) -> Result<Json<Vec<ServiceView>>, Problem> {
    Ok(Json(handle.services().await?))
}

async fn service(
    State(handle): State<Handle>,
    Path(name): Path<String>,
) -> Result<Json<ServiceView>, Problem> {
    let services = handle.services().await?;
    let found = services.into_iter().find(|service| service.name == name);
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("there is no service {name}"));
    Ok(Json(found.ok_or_else(missing)?))
}

/// The body is a table `[[service]]` of the file, in JSON.
async fn add_service(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Body(mut keys): Body<Keys>,
) -> Result<(StatusCode, Json<Option<ServiceView>>), Problem> {
    let name = keys.remove("name").and_then(|name| name.as_str().map(ToOwned::to_owned));
    let missing = || Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the service has no `name`");
    let name = name.ok_or_else(missing)?;
    let added = handle.change(Change::AddService { name, keys }, peer.to_string()).await?;
    Ok((StatusCode::CREATED, Json(added)))
}

/// The body has the keys of a table `[[service]]` of the file that are to change, in JSON.
async fn set_service(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
    Body(keys): Body<Keys>,
) -> Result<Json<Option<ServiceView>>, Problem> {
    Ok(Json(handle.change(Change::SetService { name, keys }, peer.to_string()).await?))
}

async fn remove_service(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    handle.change(Change::RemoveService { name }, peer.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn add_backend(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(service): Path<String>,
    Body(new): Body<NewBackend>,
) -> Result<(StatusCode, Json<Option<ServiceView>>), Problem> {
    let NewBackend { address, weight, backup } = new;
    let backend = Backend { address, weight, backup, admin: Admin::Enabled, drain_until: None };
    let change = Change::AddBackend { service, backend };
    Ok((StatusCode::CREATED, Json(handle.change(change, peer.to_string()).await?)))
}

async fn set_backend(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path((service, address)): Path<(String, SocketAddr)>,
    Body(settings): Body<Settings>,
) -> Result<Json<Option<ServiceView>>, Problem> {
    let change = Change::SetBackend { service, address, settings };
    Ok(Json(handle.change(change, peer.to_string()).await?))
}

async fn remove_backend(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path((service, address)): Path<(String, SocketAddr)>,
) -> Result<Json<Option<ServiceView>>, Problem> {
    let change = Change::RemoveBackend { service, address };
    Ok(Json(handle.change(change, peer.to_string()).await?))
}

fn one() -> u16 {
    1
}
