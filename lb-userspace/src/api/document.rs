//! The document as a whole: plans, versions, and the way back.

use axum::{
    Json,
    extract::{ConnectInfo, State},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Problem,
    extract::{Body, Held, Path},
    peer::Peer,
};
use crate::control::{Handle, Plan, Proposal, Submission, VersionView};

pub(super) const PLAN: &str = "/v1/plan";
pub(super) const APPLY: &str = "/v1/apply";

/// Whether what is sent to a path is a whole configuration file.
pub(super) fn takes_file(path: &str) -> bool {
    [PLAN, APPLY].contains(&path)
}

/// The body of a rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The one before the present one if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// What a path names.
#[derive(Deserialize, JsonSchema)]
pub(super) struct OfVersion {
    version: u64,
}

pub(super) async fn plan(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Held(room): Held,
    Body(proposal): Body<Proposal>,
) -> Result<Json<Plan>, Problem> {
    Ok(Json(handle.plan(Submission { proposal, by: peer.caller(), room }).await?))
}

pub(super) async fn apply(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Held(room): Held,
    Body(proposal): Body<Proposal>,
) -> Result<Json<Plan>, Problem> {
    Ok(Json(handle.apply(Submission { proposal, by: peer.caller(), room }).await?))
}

pub(super) async fn history(
    State(handle): State<Handle>,
) -> Result<Json<Vec<VersionView>>, Problem> {
    Ok(Json(handle.history().await?))
}

pub(super) async fn version(
    State(handle): State<Handle>,
    Path(OfVersion { version }): Path<OfVersion>,
) -> Result<Json<Plan>, Problem> {
    Ok(Json(handle.version(version).await?))
}

pub(super) async fn rollback(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Body(target): Body<Target>,
) -> Result<Json<Plan>, Problem> {
    Ok(Json(handle.rollback(target.version, peer.caller()).await?))
}
