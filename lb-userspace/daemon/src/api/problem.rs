//! Errors of the API: RFC 9457.

use aide::{OperationOutput, generate::GenContext, openapi};
use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use lb_model::{KeyFault, Problem, Refusal};

use super::answers::of_media_type;

pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// A problem as an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed(pub(super) Problem);

impl Failed {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Problem {
            r#type: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            report: None,
        })
    }

    /// Returns the problem of a body with these faults.
    pub(super) fn of_keys(errors: Vec<KeyFault>) -> Self {
        let detail = KeyFault::sentence(&errors);
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with_errors(errors)
    }

    fn with_errors(self, errors: Vec<KeyFault>) -> Self {
        Self(Problem { errors, ..self.0 })
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::NotFound(_) => StatusCode::NOT_FOUND,
            Refusal::Conflict(_) => StatusCode::CONFLICT,
            Refusal::Invalid(_) | Refusal::InvalidKeys(_) | Refusal::InvalidFile { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Refusal::Stale(_) => StatusCode::PRECONDITION_FAILED,
            Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let failed = Self::new(status, refusal.detail());
        match refusal {
            Refusal::InvalidKeys(errors) => failed.with_errors(errors),
            Refusal::InvalidFile { errors, report, .. } => {
                Self(Problem { errors, report: Some(report.into()), ..failed.0 })
            }
            _ => failed,
        }
    }
}

/// Seconds after which a request may be repeated.
pub(super) const SOON: &str = "1";

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status = StatusCode::from_u16(problem.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let media_type = HeaderValue::from_static(MEDIA_TYPE);
        let mut response = (status, [(CONTENT_TYPE, media_type)], Json(problem)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(SOON));
        }
        response
    }
}

impl OperationOutput for Failed {
    type Inner = Problem;

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut openapi::Operation,
    ) -> Vec<(Option<u16>, openapi::Response)> {
        let response = Json::<Problem>::operation_response(context, operation);
        let problem = response.map(|response| (None, of_media_type(response, MEDIA_TYPE)));
        problem.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_for_now_says_when_to_try_again() {
        let after = |refusal: Refusal| {
            Failed::from(refusal).into_response().headers().get(RETRY_AFTER).cloned()
        };
        let soon = Some(HeaderValue::from_static(SOON));
        assert_eq!(after(Refusal::Busy("busy".to_owned())), soon);
        assert_eq!(after(Refusal::Failed("failed".to_owned())), None);
    }
}
