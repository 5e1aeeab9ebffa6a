//! Bodies with the keys of the configuration file.

use std::{borrow::Cow, net::SocketAddr};

use lb_config::reference;
use lb_model::{
    KeyFault, Settings,
    keys::{BACKENDS, BACKENDS_IN_FILE, Keys},
    views::BackendView,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::Value;

use super::{Failed, json, repeated};

/// A table `[[service]]` of the file, in JSON; its backends are `backends`, as in answers.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct NewService(pub(super) Keys);

/// Takes the name out of a new service's keys.
pub(super) fn name(keys: &mut Keys) -> Result<String, Failed> {
    match keys.remove("name") {
        Some(Value::String(name)) => Ok(name),
        Some(_) => Err(wrong("name", "`name` is no string: write it in quotes, as in \"web\"")),
        None => Err(wrong("name", "the service has no `name`: give it one")),
    }
}

/// Renames `backends` of the API to `backend` of the file.
pub(super) fn rename_backends(keys: &mut Keys) -> Result<(), Failed> {
    if keys.contains_key(BACKENDS_IN_FILE) {
        return Err(wrong(BACKENDS_IN_FILE, "unknown key `backend`: did you mean `backends`?"));
    }
    if let Some(backends) = keys.remove(BACKENDS) {
        keys.insert(BACKENDS_IN_FILE.to_owned(), backends);
    }
    Ok(())
}

fn wrong(key: &str, detail: impl Into<String>) -> Failed {
    Failed::of_keys(vec![KeyFault::at(&[key.to_owned()], detail)])
}

/// Returns the settings in a change of a backend.
pub(super) fn settings(
    mut keys: Keys,
    address: SocketAddr,
    shown: Option<&BackendView>,
) -> Result<Settings, Failed> {
    repeated::remove_of_backend(&mut keys, address, shown)?;
    if let Some(until) = keys.get("until").filter(|until| !until.is_null()) {
        repeated::time("until", until)?;
    }
    json::parse(Value::Object(keys).to_string().as_bytes())
}

/// Keys of a table `[[service]]` to change, in JSON; null resets a key to its default. Keys that only
/// answers have may be repeated as they are. The name cannot change, and backends have their own
/// requests.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct ServiceChanges(pub(super) Keys);

/// Settings of a backend to change, with any keys of answers.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct BackendChanges(pub(super) Keys);

impl JsonSchema for BackendChanges {
    fn schema_name() -> Cow<'static, str> {
        "BackendChanges".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Settings::json_schema(generator);
        repeated::describe_of_backend(&mut schema);
        schema
    }
}

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
        let mut schema = reference::changes();
        repeated::describe(&mut schema);
        schema
    }
}
