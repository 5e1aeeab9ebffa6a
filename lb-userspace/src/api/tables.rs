//! Bodies that have the keys of the configuration file.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use crate::{config::reference, control::Keys};

/// A table `[[service]]` of the file, in JSON.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct NewService(pub(super) Keys);

/// Those keys of a table `[[service]]` of the file that are to change, in JSON; null gives a key its
/// default again. The name stays, and backends have requests of their own.
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
        reference::changes()
    }
}
