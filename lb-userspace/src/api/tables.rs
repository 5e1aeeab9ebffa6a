//! Bodies with the keys of the configuration file.

use std::borrow::Cow;

use axum::http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::Value;

use super::Problem;
use crate::{
    config::reference,
    control::{KeyFault, Keys},
};

/// Key of a service's backends in bodies; [`IN_FILE`] is that of the file.
const BACKENDS: &str = "backends";
const IN_FILE: &str = "backend";

/// A table `[[service]]` of the file, in JSON; its backends are `backends`, as in answers.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct NewService(pub(super) Keys);

/// Takes the name out of a new service's keys.
pub(super) fn name(keys: &mut Keys) -> Result<String, Problem> {
    match keys.remove("name") {
        Some(Value::String(name)) => Ok(name),
        Some(_) => Err(wrong("name", "`name` must be a string, as in \"web\"")),
        None => Err(wrong("name", "the service has no `name`")),
    }
}

/// Renames `backends` of the API to `backend` of the file.
pub(super) fn rename_backends(keys: &mut Keys) -> Result<(), Problem> {
    if keys.contains_key(IN_FILE) {
        return Err(wrong(IN_FILE, "unknown key `backend`: did you mean `backends`?"));
    }
    if let Some(backends) = keys.remove(BACKENDS) {
        keys.insert(IN_FILE.to_owned(), backends);
    }
    Ok(())
}

/// Returns the body that adds a service with these keys of the file.
pub(super) fn body_of(mut keys: Keys) -> Keys {
    if let Some(backends) = keys.remove(IN_FILE) {
        keys.insert(BACKENDS.to_owned(), backends);
    }
    keys
}

fn wrong(key: &str, detail: &str) -> Problem {
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
    let error = KeyFault { detail: detail.to_owned(), pointer: format!("#/{key}") };
    Problem { errors: vec![error], ..problem }
}

/// Keys of a table `[[service]]` to change, in JSON; null resets a key to its default. The name
/// cannot change, and backends have their own requests.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct ServiceChanges(pub(super) Keys);

impl JsonSchema for NewService {
    fn schema_name() -> Cow<'static, str> {
        "NewService".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        reference::new_service()
    }
}

impl JsonSchema for ServiceChanges {
    fn schema_name() -> Cow<'static, str> {
        "ServiceChanges".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        reference::changes()
    }
}
