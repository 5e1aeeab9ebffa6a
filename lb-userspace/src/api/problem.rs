//! Errors of the API: RFC 9457.

use aide::{OperationOutput, generate::GenContext, openapi};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::described::of_media_type;
use crate::control::{KeyFault, Refusal};

pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// Problem details of a failed request (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    pub r#type: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// Keys of the body with invalid values, as far as known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<KeyFault>,
}

impl Problem {
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            r#type: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// Returns true if the content of the request is invalid.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::BAD_REQUEST]
            .iter()
            .any(|one| *one == self.status)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::NotFound(_) => StatusCode::NOT_FOUND,
            Refusal::Conflict(_) => StatusCode::CONFLICT,
            Refusal::Invalid(_) | Refusal::InvalidKeys(..) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Stale(_) => StatusCode::PRECONDITION_FAILED,
            Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Self::new(status, refusal.detail());
        match refusal {
            Refusal::InvalidKeys(_, errors) => Self { errors, ..problem },
            _ => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], Json(self)).into_response()
    }
}

impl OperationOutput for Problem {
    type Inner = Self;

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut openapi::Operation,
    ) -> Vec<(Option<u16>, openapi::Response)> {
        let response = Json::<Self>::operation_response(context, operation);
        let problem = response.map(|response| (None, of_media_type(response, MEDIA_TYPE)));
        problem.into_iter().collect()
    }
}
