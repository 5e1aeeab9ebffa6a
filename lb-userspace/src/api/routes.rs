//! What can be asked, where.

use std::net::SocketAddr;

use axum::{
    Json, Router,
    extract::{
        self, FromRequest, FromRequestParts, Request, State,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{StatusCode, request::Parts},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::{Problem, connections};
use crate::{
    control::{Change, Handle, ServiceView, Settings, Stats, Status},
    model::{Admin, Backend},
};

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
        .route("/v1/services", get(services))
        .route("/v1/services/{name}", get(service))
        .route("/v1/services/{name}/backends", post(add))
        .route("/v1/services/{name}/backends/{address}", axum::routing::patch(set).delete(remove))
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

async fn add(
    State(handle): State<Handle>,
    Path(service): Path<String>,
    Body(new): Body<NewBackend>,
) -> Result<(StatusCode, Json<ServiceView>), Problem> {
    let NewBackend { address, weight, backup } = new;
    let backend = Backend { address, weight, backup, admin: Admin::Enabled };
    let view = handle.change(Change::AddBackend { service, backend }).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

async fn set(
    State(handle): State<Handle>,
    Path((service, address)): Path<(String, SocketAddr)>,
    Body(settings): Body<Settings>,
) -> Result<Json<ServiceView>, Problem> {
    Ok(Json(handle.change(Change::SetBackend { service, address, settings }).await?))
}

async fn remove(
    State(handle): State<Handle>,
    Path((service, address)): Path<(String, SocketAddr)>,
) -> Result<Json<ServiceView>, Problem> {
    Ok(Json(handle.change(Change::RemoveBackend { service, address }).await?))
}

/// A JSON body; one that is none, or not of this shape, is answered by a problem document.
struct Body<T>(T);

impl<T, S> FromRequest<S> for Body<T>
where
    Json<T>: FromRequest<S, Rejection = JsonRejection>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// What the path names; a path that does not name that is answered by a problem document.
struct Path<T>(T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    extract::Path<T>: FromRequestParts<S, Rejection = PathRejection>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match extract::Path::from_request_parts(parts, state).await {
            Ok(extract::Path(named)) => Ok(Self(named)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// What the query asks for; a query that is not understood is answered by a problem document.
pub(super) struct Query<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    extract::Query<T>: FromRequestParts<S, Rejection = QueryRejection>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match extract::Query::from_request_parts(parts, state).await {
            Ok(extract::Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

fn one() -> u16 {
    1
}
