//! Router of all paths.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, StatusCode, Uri},
};

use super::{Failed, described::routes_with_description};
use crate::control::Handle;

pub(super) fn router(handle: Handle) -> Router {
    let (routes, methods) = routes_with_description();
    let not_allowed = async move |method: Method, uri: Uri| {
        let path = uri.path();
        let allowed = methods.of(path);
        let detail = format!("{path} does not support {method}: use {allowed}");
        Failed::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    };
    routes
        // The server has already read the body within its own limits.
        .layer(DefaultBodyLimit::disable())
        .fallback(async || {
            let detail = "unknown path: /v1/openapi.json describes all paths";
            Failed::new(StatusCode::NOT_FOUND, detail)
        })
        .method_not_allowed_fallback(not_allowed)
        .with_state(handle)
}
