//! `OpenAPI` document of the API, generated from its routes.

use std::{collections::BTreeMap, sync::Arc};

use aide::{
    generate::{self},
    openapi::{Info, OpenApi},
};
use axum::{Json, Router, routing::get};
use lb_config::reference;
use serde_json::{Map, Value, json};

use super::routes;
use crate::control::Handle;

const PATH: &str = "/v1/openapi.json";

/// Methods by path.
#[derive(Clone)]
pub(super) struct Methods(Arc<BTreeMap<String, String>>);

impl Methods {
    fn in_document(document: &Value) -> Self {
        let paths = document["paths"].as_object().into_iter().flatten();
        let methods = paths.map(|(path, operations)| {
            let words = operations.as_object().into_iter().flat_map(Map::keys);
            let words: Vec<_> = words.map(|method| method.to_uppercase()).collect();
            (path.clone(), words.join(" or "))
        });
        Self(Arc::new(methods.collect()))
    }

    /// Returns the methods of a path in one phrase.
    pub(super) fn of(&self, path: &str) -> &str {
        let found = self.0.iter().find(|(described, _)| is_of(described, path));
        found.map_or("GET", |(_, methods)| methods)
    }
}

/// Returns true if a path is one of a described path with parameters, as in `/v1/services/{name}`.
fn is_of(described: &str, path: &str) -> bool {
    let [parts, given] = [described, path].map(|path| path.split('/').collect::<Vec<_>>());
    let is_part = |(part, given): (&&str, &&str)| part.starts_with('{') || part == given;
    parts.len() == given.len() && parts.iter().zip(&given).all(is_part)
}

/// Returns the routes, with one for the `OpenAPI` document, and their methods.
pub(super) fn routes_with_description() -> (Router<Handle>, Methods) {
    let (routes, document) = describe();
    let methods = Methods::in_document(&document);
    (routes.route(PATH, get(async move || Json(document))), methods)
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
    add_settings(&mut document["components"]["schemas"]["ServiceView"]);
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

/// Adds the settings of a service, which are keys of the file.
fn add_settings(view: &mut Value) {
    let settings = reference::settings_of_service();
    let settings = settings.get("properties").and_then(Value::as_object);
    if let Some(properties) = view["properties"].as_object_mut() {
        properties.extend(settings.cloned().into_iter().flatten());
    }
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
