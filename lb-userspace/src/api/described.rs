//! `OpenAPI` document of the API, generated from its routes.

use aide::{
    OperationOutput,
    generate::{self, GenContext},
    openapi::{Info, OpenApi, Operation, Response},
};
use axum::{
    Json, Router,
    http::StatusCode,
    response::{self, IntoResponse, NoContent},
    routing::get,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::routes;
use crate::control::Handle;

const PATH: &str = "/v1/openapi.json";

/// Response 201 with the created resource; 200 in a dry run.
pub(super) struct Created<T> {
    pub(super) value: T,
    pub(super) is_dry_run: bool,
}

/// Response to a removal: no content or, in a dry run, its effect.
pub(super) struct Removed<T>(pub(super) Option<T>);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> response::Response {
        let status = if self.is_dry_run { StatusCode::OK } else { StatusCode::CREATED };
        (status, Json(self.value)).into_response()
    }
}

impl<T: Serialize> IntoResponse for Removed<T> {
    fn into_response(self) -> response::Response {
        match self.0 {
            Some(value) => Json(value).into_response(),
            None => NoContent.into_response(),
        }
    }
}

impl<T: JsonSchema> OperationOutput for Created<T> {
    type Inner = T;

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Response)> {
        let created = Json::<T>::operation_response(context, operation);
        let created = created.map(|response| (Some(StatusCode::CREATED.as_u16()), response));
        created.into_iter().chain(of_dry_run::<T>(context, operation)).collect()
    }
}

impl<T: JsonSchema> OperationOutput for Removed<T> {
    type Inner = T;

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Response)> {
        let mut responses = NoContent::inferred_responses(context, operation);
        responses.extend(of_dry_run::<T>(context, operation));
        responses
    }
}

fn of_dry_run<T: JsonSchema>(
    context: &mut GenContext,
    operation: &mut Operation,
) -> Option<(Option<u16>, Response)> {
    let response = Json::<T>::operation_response(context, operation)?;
    let description = "In a dry run: what the change would do.".to_owned();
    Some((Some(StatusCode::OK.as_u16()), Response { description, ..response }))
}

/// Returns the response with another media type.
pub(super) fn of_media_type(mut response: Response, media_type: &str) -> Response {
    response.content =
        response.content.into_values().map(|content| (media_type.to_owned(), content)).collect();
    response
}

/// Returns the routes, with one for the `OpenAPI` document.
pub(super) fn routes_with_description() -> Router<Handle> {
    let (routes, document) = describe();
    routes.route(PATH, get(async move || Json(document)))
}

/// Returns the `OpenAPI` document of all routes.
#[must_use]
pub fn description() -> Value {
    describe().1
}

fn describe() -> (Router<Handle>, Value) {
    generate::on_error(|error| log::debug!("the OpenAPI document is incomplete: {error}"));
    generate::extract_schemas(true);
    let info = Info {
        title: "xdplb".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        description: Some(
            "The daemon's API: JSON over HTTP on a unix socket, `/run/xdplb/xdplb.sock` by default, \
             as in `curl --unix-socket /run/xdplb/xdplb.sock http://xdplb/v1/status`."
                .to_owned(),
        ),
        ..Info::default()
    };
    let mut document = OpenApi { info, ..OpenApi::default() };
    let routes = routes::routes().finish_api(&mut document);
    (routes, exact(document))
}

/// Adds the ranges of all integers, and removes null from query parameters, which cannot express
/// it.
fn exact(document: OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    for path in members(&mut document["paths"]) {
        for operation in members(path) {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                without_null(&mut parameter["schema"]);
            }
        }
    }
    bound_integers(&mut document);
    document
}

fn members(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    object.as_object_mut().into_iter().flat_map(|members| members.values_mut())
}

fn without_null(schema: &mut Value) {
    let Some(types) = schema["type"].as_array_mut() else { return };
    types.retain(|one| one != "null");
    if let [only] = types.as_slice() {
        schema["type"] = only.clone();
    }
}

/// Adds maxima by the width of integers, as validators ignore these formats.
fn bound_integers(schema: &mut Value) {
    let most = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => Some(u8::MAX.into()),
        Some("uint16") => Some(u16::MAX.into()),
        Some("uint32") => Some(u32::MAX.into()),
        Some("uint64" | "uint") => Some(u64::MAX),
        _ => None,
    };
    if let (Some(most), Some(schema)) = (most, schema.as_object_mut()) {
        schema.entry("maximum").or_insert(json!(most));
    }
    match schema {
        Value::Object(members) => members.values_mut().for_each(bound_integers),
        Value::Array(values) => values.iter_mut().for_each(bound_integers),
        _ => {}
    }
}
