//! The document as a whole: plans, versions and rollbacks.

use std::sync::Arc;

use aide::{OperationOutput, generate::GenContext, openapi};
use axum::{
    Json,
    extract::{ConnectInfo, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use lb_config::Secrets;
use lb_model::{
    Proposal, Target,
    views::{FullVersion, Plan, VersionView},
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::{
    Failed,
    answers::of_media_type,
    etag::IfMatch,
    extract::{Body, Held, Path, Query},
    manner::Manner,
    peer::Peer,
};
use crate::control::{Handle, Running, Submission, VersionDetail, Versioned};

pub(super) const PLAN: &str = "/v1/plan";
pub(super) const APPLY: &str = "/v1/apply";

/// Returns true if the body of a request to this path is a configuration file.
pub(super) fn takes_file(path: &str) -> bool {
    [PLAN, APPLY].contains(&path)
}

/// A configuration file.
pub(super) struct Toml(String);

const TOML: &str = "application/toml";

impl IntoResponse for Toml {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, TOML)], self.0).into_response()
    }
}

impl OperationOutput for Toml {
    type Inner = String;

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut openapi::Operation,
    ) -> Vec<(Option<u16>, openapi::Response)> {
        let response = Json::<String>::operation_response(context, operation);
        let text = response.map(|response| (Some(200), of_media_type(response, TOML)));
        text.into_iter().collect()
    }
}

/// Path parameters.
#[derive(Deserialize, JsonSchema)]
pub(super) struct OfVersion {
    version: u64,
}

pub(super) async fn plan(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(Manner { force, .. }): Query<Manner>,
    IfMatch(expected): IfMatch,
    Held(room): Held,
    Body(proposal): Body<Proposal>,
) -> Result<Versioned<Json<Plan>>, Failed> {
    let by = peer.forcing(force).expecting(expected);
    Ok(of_plan(handle.plan(Submission { proposal, by, room }).await?))
}

pub(super) async fn apply(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(Manner { force, dry_run }): Query<Manner>,
    IfMatch(expected): IfMatch,
    Held(room): Held,
    Body(proposal): Body<Proposal>,
) -> Result<Versioned<Json<Plan>>, Failed> {
    let by = peer.forcing(force).expecting(expected);
    let submission = Submission { proposal, by, room };
    let plan = if dry_run { handle.plan(submission).await } else { handle.apply(submission).await };
    Ok(of_plan(plan?))
}

pub(super) async fn history(
    State(handle): State<Handle>,
) -> Result<Json<Vec<VersionView>>, Failed> {
    Ok(Json(handle.history().await?))
}

pub(super) async fn version(
    State(handle): State<Handle>,
    Path(OfVersion { version }): Path<OfVersion>,
) -> Result<Json<FullVersion>, Failed> {
    let VersionDetail { view, steps, document } = handle.version(version).await?;
    let services = beside(move || {
        let services: Vec<_> = document.services().map(Arc::as_ref).collect();
        lb_config::tables(&services, Secrets::Hidden)
    });
    Ok(Json(FullVersion { view, steps, services: services.await? }))
}

/// Includes passwords only for root.
pub(super) async fn export(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Versioned<Toml>, Failed> {
    let secrets = if peer.is_root() { Secrets::Written } else { Secrets::Hidden };
    let Running { version, config, document } = handle.running().await?;
    let text = beside(move || {
        let services: Vec<_> = document.services().map(Arc::as_ref).collect();
        lb_config::running(&config, &services, secrets)
    });
    Ok(Versioned { version: Some(version), value: Toml(text.await?) })
}

/// Writes a file on a blocking thread.
async fn beside(
    write: impl FnOnce() -> anyhow::Result<String> + Send + 'static,
) -> Result<String, Failed> {
    let failed = |why: String| Failed::new(StatusCode::INTERNAL_SERVER_ERROR, why);
    let written = spawn_blocking(write).await.map_err(|error| failed(error.to_string()))?;
    written.map_err(|error| failed(format!("{error:#}")))
}

pub(super) async fn rollback(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(Manner { force, dry_run }): Query<Manner>,
    IfMatch(expected): IfMatch,
    Body(target): Body<Target>,
) -> Result<Versioned<Json<Plan>>, Failed> {
    let by = peer.forcing(force).trying(dry_run).expecting(expected);
    Ok(of_plan(handle.rollback(target.version, by).await?))
}

fn of_plan(plan: Plan) -> Versioned<Json<Plan>> {
    Versioned { version: Some(plan.version), value: Json(plan) }
}
