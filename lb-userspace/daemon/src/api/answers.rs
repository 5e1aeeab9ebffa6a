//! Kinds of answers, with their descriptions.

use std::marker::PhantomData;

use aide::{
    OperationOutput,
    generate::GenContext,
    openapi::{Operation, Response},
};
use axum::{
    Json,
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{self, IntoResponse, NoContent},
};
use schemars::JsonSchema;
use serde::Serialize;

/// Response 201 with the created resource; 200 in a dry run.
pub(super) struct Created<T> {
    pub(super) value: T,
    pub(super) is_dry_run: bool,
}

/// Response to a removal: no content or, in a dry run, its effect.
pub(super) struct Removed<T>(pub(super) Option<T>);

/// Media type of one JSON object per line.
const NDJSON: &str = "application/x-ndjson";

/// Response with one JSON object of this type per line.
pub(super) struct Lines<T>(Body, PhantomData<T>);

impl<T> Lines<T> {
    pub(super) fn new(body: Body) -> Self {
        Self(body, PhantomData)
    }
}

impl<T> IntoResponse for Lines<T> {
    fn into_response(self) -> response::Response {
        ([(CONTENT_TYPE, NDJSON)], self.0).into_response()
    }
}

impl<T: JsonSchema> OperationOutput for Lines<T> {
    type Inner = T;

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Response)> {
        let response = Json::<T>::operation_response(context, operation);
        let lines = response.map(|response| (Some(200), of_media_type(response, NDJSON)));
        lines.into_iter().collect()
    }
}

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
