//! Routes of the API.

use std::net::SocketAddr;

use aide::{
    axum::{
        ApiRouter,
        routing::{get_with, patch_with, post_with},
    },
    transform::TransformOperation,
};
use axum::{
    Json,
    extract::{ConnectInfo, State},
    http::StatusCode,
};
use lb_model::{
    Admin, Backend, Change, NewBackend, RoleChange, address, patterns,
    views::{
        BackendView, GroupView, Readiness, ServiceView, Stats, Status,
        explanation::{Explanation, PacketQuery},
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Failed,
    answers::{Created, Removed},
    connections, document,
    etag::IfMatch,
    extract::{Body, Path, Query},
    manner::{Manner, Trial},
    peer::Peer,
    repeated, searches,
    tables::{self, BackendChanges, NewService, ServiceChanges},
    trace,
};
use crate::control::{Handle, Versioned};

/// Path parameters.
#[derive(Deserialize, JsonSchema)]
struct OfService {
    name: String,
}

/// Query parameters.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Needed {
    /// Number of services that must have a backend that takes connections.
    #[serde(default)]
    services: usize,
}

/// Path parameters.
#[derive(Deserialize, JsonSchema)]
struct OfGroup {
    name: String,
}

/// Path parameters.
#[derive(Deserialize, JsonSchema)]
struct OfBackend {
    name: String,
    /// Address and port: `ADDRESS:PORT`.
    #[serde(deserialize_with = "address::deserialize")]
    #[schemars(regex(pattern = patterns::ADDRESS))]
    address: SocketAddr,
}

#[rustfmt::skip]
pub(super) fn routes() -> ApiRouter<Handle> {
    ApiRouter::new()
        .api_route("/v1/status", get_with(status, says("Returns the daemon, its interfaces, flow table usage and warnings")))
        .api_route("/v1/groups", get_with(groups, says("Returns the groups of a pair's addresses, with this node's roles")))
        .api_route("/v1/groups/{name}", patch_with(change_role, says("Makes this node active or standby for a group")))
        .api_route("/v1/ready", get_with(ready, says("Tells whether this node can be active for groups")))
        .api_route("/v1/stats", get_with(stats, says("Returns packets by verdict and reason, and traffic by backend")))
        .api_route("/v1/explain", get_with(explain, says("Tells what would happen to a packet, and why")))
        .api_route("/v1/trace", get_with(trace::trace, says("Records packets, one JSON object per line, until the client disconnects")))
        .api_route(
            "/v1/connections",
            get_with(connections::list, says("Lists connections, one JSON object per line"))
                .delete_with(connections::kill, says("Kills the connections that match a filter, a twentieth of limits.resets per second, except closed ones. Both ends get resets")),
        )
        .api_route("/v1/connections/clients", get_with(connections::clients, says("Returns the clients with the most connections: ten, unless there is another limit")))
        .api_route("/v1/connections/searches", get_with(searches::list, says("Returns how far the searches of connections have come that are running")))
        .api_route("/v1/connections/count", get_with(connections::count, says("Counts connections by state")))
        .api_route(document::PLAN, post_with(document::plan, says("Returns the changes that a configuration file would make")))
        .api_route(document::APPLY, post_with(document::apply, says("Applies a configuration file")))
        .api_route("/v1/history", get_with(document::history, says("Lists all versions of the configuration, newest first")))
        .api_route("/v1/history/{version}", get_with(document::version, says("Returns a version: its author, its changes and all its services")))
        .api_route("/v1/export", get_with(document::export, says("Returns the running configuration as a configuration file")))
        .api_route("/v1/rollback", post_with(document::rollback, says("Rolls back to an earlier version")))
        .api_route(
            "/v1/services",
            get_with(services, says("Lists all services with their backends"))
                .post_with(add_service, says("Adds a service")),
        )
        .api_route(
            "/v1/services/{name}",
            get_with(service, says("Returns a service with its backends"))
                .patch_with(set_service, says("Changes settings of a service; other settings stay as they are"))
                .delete_with(remove_service, says("Removes a service; its connections continue")),
        )
        .api_route(
            "/v1/services/{name}/backends",
            get_with(backends, says("Lists the backends of a service"))
                .post_with(add_backend, says("Adds a backend")),
        )
        .api_route(
            "/v1/services/{name}/backends/{address}",
            get_with(backend, says("Returns a backend"))
                .patch_with(set_backend, says("Changes, drains, enables or disables a backend"))
                .delete_with(remove_backend, says("Removes a backend; its connections continue")),
        )
}

fn says(summary: &'static str) -> impl FnOnce(TransformOperation<'_>) -> TransformOperation<'_> {
    move |operation| operation.summary(summary)
}

async fn status(State(handle): State<Handle>) -> Result<Json<Status>, Failed> {
    Ok(Json(handle.status().await?))
}

async fn groups(State(handle): State<Handle>) -> Result<Json<Vec<GroupView>>, Failed> {
    Ok(Json(handle.groups().await?))
}

async fn change_role(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(OfGroup { name }): Path<OfGroup>,
    Body(RoleChange { role }): Body<RoleChange>,
) -> Result<Json<GroupView>, Failed> {
    Ok(Json(handle.change_role(name, role, peer.caller()).await?))
}

async fn ready(
    State(handle): State<Handle>,
    Query(Needed { services }): Query<Needed>,
) -> Result<Json<Readiness>, Failed> {
    Ok(Json(handle.readiness(services).await?))
}

async fn stats(State(handle): State<Handle>) -> Result<Json<Stats>, Failed> {
    Ok(Json(handle.stats().await?))
}

async fn explain(
    State(handle): State<Handle>,
    Query(query): Query<PacketQuery>,
) -> Result<Json<Explanation>, Failed> {
    Ok(Json(handle.explain(query).await?))
}

async fn services(
    State(handle): State<Handle>,
) -> Result<Versioned<Json<Vec<ServiceView>>>, Failed> {
    Ok(handle.services().await?.map(Json))
}

async fn service(
    State(handle): State<Handle>,
    Path(OfService { name }): Path<OfService>,
) -> Result<Versioned<Json<ServiceView>>, Failed> {
    Ok(handle.service(name).await?.map(Json))
}

async fn backends(
    State(handle): State<Handle>,
    Path(OfService { name }): Path<OfService>,
) -> Result<Versioned<Json<Vec<BackendView>>>, Failed> {
    Ok(handle.service(name).await?.map(|service| Json(service.backends)))
}

async fn backend(
    State(handle): State<Handle>,
    Path(OfBackend { name, address }): Path<OfBackend>,
) -> Result<Versioned<Json<BackendView>>, Failed> {
    let Versioned { version, value } = handle.service(name).await?;
    let found = value.backends.into_iter().find(|backend| backend.address == address);
    let missing = || {
        let detail = format!("{} has no backend {address}", value.name);
        Failed::new(StatusCode::NOT_FOUND, detail)
    };
    Ok(Versioned { version, value: Json(found.ok_or_else(missing)?) })
}

async fn add_service(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    IfMatch(expected): IfMatch,
    Query(Manner { force, dry_run }): Query<Manner>,
    Body(NewService(mut keys)): Body<NewService>,
) -> Result<Versioned<Created<Option<ServiceView>>>, Failed> {
    let name = tables::name(&mut keys)?;
    tables::rename_backends(&mut keys)?;
    let by = peer.forcing(force).trying(dry_run).expecting(expected);
    let added = handle.change(Change::AddService { name, keys }, by).await?;
    Ok(added.map(|value| Created { value, is_dry_run: dry_run }))
}

async fn set_service(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    IfMatch(expected): IfMatch,
    Path(OfService { name }): Path<OfService>,
    Query(Manner { force, dry_run }): Query<Manner>,
    Body(ServiceChanges(mut keys)): Body<ServiceChanges>,
) -> Result<Versioned<Json<Option<ServiceView>>>, Failed> {
    repeated::without_state(&mut keys);
    if repeated::are_in(&keys) {
        repeated::remove(&mut keys, &handle.service(name.clone()).await?.value)?;
    }
    let by = peer.forcing(force).trying(dry_run).expecting(expected);
    Ok(handle.change(Change::SetService { name, keys }, by).await?.map(Json))
}

async fn remove_service(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    IfMatch(expected): IfMatch,
    Path(OfService { name }): Path<OfService>,
    Query(Trial { dry_run }): Query<Trial>,
) -> Result<Versioned<Removed<Option<ServiceView>>>, Failed> {
    let by = peer.caller().trying(dry_run).expecting(expected);
    let removed = handle.change(Change::RemoveService { name }, by).await?;
    Ok(removed.map(|shown| Removed(dry_run.then_some(shown))))
}

async fn add_backend(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    IfMatch(expected): IfMatch,
    Path(OfService { name: service }): Path<OfService>,
    Query(Trial { dry_run }): Query<Trial>,
    Body(new): Body<NewBackend>,
) -> Result<Versioned<Created<Option<ServiceView>>>, Failed> {
    let NewBackend { address, weight, backup } = new;
    let backend = Backend { address, weight, backup, admin: Admin::Enabled, drain_until: None };
    let change = Change::AddBackend { service, backend };
    let added = handle.change(change, peer.caller().trying(dry_run).expecting(expected)).await?;
    Ok(added.map(|value| Created { value, is_dry_run: dry_run }))
}

async fn set_backend(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    IfMatch(expected): IfMatch,
    Path(OfBackend { name: service, address }): Path<OfBackend>,
    Query(Trial { dry_run }): Query<Trial>,
    Body(BackendChanges(keys)): Body<BackendChanges>,
) -> Result<Versioned<Json<Option<ServiceView>>>, Failed> {
    let shown = if repeated::are_in_backend(&keys) {
        let backends = handle.service(service.clone()).await?.value.backends;
        backends.into_iter().find(|backend| backend.address == address)
    } else {
        None
    };
    let warnings = shown.as_ref().map(|shown| repeated::warnings(&keys, shown)).unwrap_or_default();
    let settings = tables::settings(keys, address, shown.as_ref())?;
    let change = Change::SetBackend { service, address, settings };
    let by = peer.caller().trying(dry_run).expecting(expected);
    let mut changed = handle.change(change, by).await?;
    if let Some(view) = &mut changed.value {
        view.warnings.extend(warnings);
    }
    Ok(changed.map(Json))
}

async fn remove_backend(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    IfMatch(expected): IfMatch,
    Path(OfBackend { name: service, address }): Path<OfBackend>,
    Query(Trial { dry_run }): Query<Trial>,
) -> Result<Versioned<Json<Option<ServiceView>>>, Failed> {
    let change = Change::RemoveBackend { service, address };
    Ok(handle.change(change, peer.caller().trying(dry_run).expecting(expected)).await?.map(Json))
}
