//! Extractors that answer invalid requests with a problem document.

use std::convert::Infallible;

use aide::{OperationInput, generate::GenContext, openapi::Operation};
use axum::{
    Json,
    extract::{
        self, FromRequest, FromRequestParts, Request,
        path::ErrorKind,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE, request::Parts},
};
use hyper::body::{Body as _, Bytes};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;

use super::{Failed, json, wording};
use crate::control::Room;

/// Size of a body, in bytes, that is parsed without a blocking thread.
const QUICK: u64 = 64 << 10;

/// Start of axum's error of a query.
const OF_QUERY: &str = "Failed to deserialize query string: ";

/// Body with a JSON object of this type.
pub(super) struct Body<T>(pub(super) T);

impl<T, S> FromRequest<S> for Body<T>
where
    T: DeserializeOwned + Send + 'static,
    S: Send + Sync,
{
    type Rejection = Failed;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failed> {
        if !is_json(request.headers()) {
            let detail = "the body is not marked as JSON: send `content-type: application/json`";
            return Err(Failed::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let is_quick = request.body().size_hint().lower() <= QUICK;
        let body = Bytes::from_request(request, &()).await.map_err(|rejection| {
            Failed::new(rejection.status(), "the body of the request cannot be read: send it again")
        })?;
        if is_quick {
            return json::parse(&body).map(Self);
        }
        let failed = |_| Failed::new(StatusCode::INTERNAL_SERVER_ERROR, "reading the body failed");
        spawn_blocking(move || json::parse(&body)).await.map_err(failed)?.map(Self)
    }
}

/// Returns true if the media type is JSON, as in `application/json; charset=utf-8`.
fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    let kind = media_type.strip_prefix("application/");
    kind.is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

/// Path parameters.
pub(super) struct Path<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    extract::Path<T>: FromRequestParts<S, Rejection = PathRejection>,
    S: Send + Sync,
{
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        match extract::Path::from_request_parts(parts, state).await {
            Ok(extract::Path(named)) => Ok(Self(named)),
            Err(rejection) => Err(of_path(rejection)),
        }
    }
}

const CANNOT_BE_READ: &str = "the path cannot be read: /v1/openapi.json describes all paths";

fn of_path(rejection: PathRejection) -> Failed {
    let status = rejection.status();
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else {
        return Failed::new(status, CANNOT_BE_READ);
    };
    let detail = match failed.into_kind() {
        ErrorKind::InvalidUtf8InPathParam { key } => {
            format!("`{key}` in the path is not UTF-8: encode it as UTF-8, then with percent signs")
        }
        ErrorKind::DeserializeError { key, value, message } => {
            wording::of_path(&key, &value, &message)
        }
        ErrorKind::ParseErrorAtKey { key, value, .. } => {
            wording::of_path(&key, &value, &format!("give a whole number from 0 to {}", u64::MAX))
        }
        ErrorKind::Message(message) => format!("a part of the path is invalid: {message}"),
        _ => CANNOT_BE_READ.to_owned(),
    };
    Failed::new(status, detail)
}

/// Query parameters.
pub(super) struct Query<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    extract::Query<T>: FromRequestParts<S, Rejection = QueryRejection>,
    S: Send + Sync,
{
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        match extract::Query::from_request_parts(parts, state).await {
            Ok(extract::Query(asked)) => Ok(Self(asked)),
            Err(rejection) => {
                let text = rejection.body_text();
                let error = text.strip_prefix(OF_QUERY).unwrap_or(&text);
                Err(Failed::new(rejection.status(), wording::of_query(error)))
            }
        }
    }
}

/// Memory reserved for the request's body.
pub(super) struct Held(pub(super) Room);

impl<S: Send + Sync> FromRequestParts<S> for Held {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Room>().cloned().unwrap_or_default()))
    }
}

impl OperationInput for Held {}

impl<T: JsonSchema> OperationInput for Body<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        Json::<T>::operation_input(context, operation);
    }
}

impl<T: JsonSchema> OperationInput for Path<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        extract::Path::<T>::operation_input(context, operation);
    }
}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        extract::Query::<T>::operation_input(context, operation);
    }
}
