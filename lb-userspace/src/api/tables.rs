//! Bodies that have the keys of the configuration file.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::Value;

use crate::{config::reference, control::Keys};

/// A table `[[service]]` of the file, in JSON.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct NewService(pub(super) Keys);

/// Those keys of a table `[[service]]` of the file that are to change, in JSON. Its name stays, and
/// backends have requests of their own.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct ServiceChanges(pub(super) Keys);

impl JsonSchema for NewService {
    fn schema_name() -> Cow<'static, str> {
        "NewService".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        reference::service()
    }
}

impl JsonSchema for ServiceChanges {
    fn schema_name() -> Cow<'static, str> {
        "ServiceChanges".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = reference::service();
        schema.remove("required");
        let properties = schema.as_object_mut().and_then(|schema| schema.get_mut("properties"));
        if let Some(keys) = properties.and_then(Value::as_object_mut) {
            keys.retain(|key, _| !matches!(key.as_str(), "name" | "backend"));
        }
        schema
    }
}
