//! What has changed from one document to the next. Services and backends that are gone are null.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::Serialize;
use serde_json::value::RawValue;

use super::document::{Document, OfService};

#[derive(Serialize)]
pub(super) struct Change<'a> {
    all: &'a RawValue,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    services: BTreeMap<&'a str, Option<ChangeOfService<'a>>>,
}

#[derive(Serialize)]
struct ChangeOfService<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    own: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    backends: BTreeMap<&'a SocketAddr, Option<&'a RawValue>>,
}

impl<'a> Change<'a> {
    pub(super) fn between(before: &'a Document, after: &'a Document) -> Self {
        let gone = before.services.keys().filter(|name| !after.services.contains_key(*name));
        let gone = gone.map(|name| (name.as_str(), None));
        let changed = after.services.iter().filter_map(|(name, service)| {
            let change = ChangeOfService::between(before.services.get(name), service)?;
            Some((name.as_str(), Some(change)))
        });
        Self { all: &after.all, services: gone.chain(changed).collect() }
    }
}

impl<'a> ChangeOfService<'a> {
    /// Returns None if nothing has changed.
    fn between(before: Option<&'a OfService>, after: &'a OfService) -> Option<Self> {
        let known = before.map(|before| &*before.own);
        let own = Some(&*after.own).filter(|own| !is_same(known, own));
        let had = before.into_iter().flat_map(|before| before.backends.keys());
        let gone = had.filter(|address| !after.backends.contains_key(address));
        let gone = gone.map(|address| (address, None));
        let changed = after.backends.iter().filter_map(|(address, row)| {
            let known = before.and_then(|before| before.backends.get(address));
            (!is_same(known.map(|known| &**known), row)).then_some((address, Some(&**row)))
        });
        let backends: BTreeMap<_, _> = gone.chain(changed).collect();
        let is_changed = own.is_some() || !backends.is_empty();
        is_changed.then_some(Self { own, backends })
    }
}

fn is_same(before: Option<&RawValue>, after: &RawValue) -> bool {
    before.is_some_and(|before| before.get() == after.get())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, value::to_raw_value};

    use super::*;

    fn raw(value: &Value) -> Box<RawValue> {
        to_raw_value(value).expect("JSON")
    }

    /// A name, what the service is, and its backends.
    type Service<'a> = (&'a str, u64, &'a [(&'a str, u64)]);

    fn document(at: u64, services: &[Service<'_>]) -> Document {
        let services = services.iter().map(|(name, own, backends)| {
            let backends = backends.iter().map(|(address, row)| {
                (address.parse().expect("an address"), raw(&json!({ "in": row })))
            });
            let of_service =
                OfService { own: raw(&json!({ "is": own })), backends: backends.collect() };
            ((*name).to_owned(), of_service)
        });
        Document { all: raw(&json!({ "at": at })), services: services.collect() }
    }

    #[test]
    fn only_what_has_changed_is_sent() {
        let before = document(
            1,
            &[
                ("gone", 1, &[]),
                ("same", 1, &[("10.0.0.9:80", 1)]),
                ("web", 1, &[("10.0.0.1:80", 1), ("10.0.0.2:80", 2), ("10.0.0.3:80", 3)]),
            ],
        );
        let after = document(
            2,
            &[
                ("new", 2, &[("10.0.0.4:80", 4)]),
                ("same", 1, &[("10.0.0.9:80", 1)]),
                ("web", 1, &[("10.0.0.1:80", 1), ("10.0.0.2:80", 5)]),
            ],
        );
        let change = serde_json::to_value(Change::between(&before, &after)).expect("JSON");
        let expected = json!({ "all": { "at": 2 }, "services": {
            "gone": null,
            "new": { "own": { "is": 2 }, "backends": { "10.0.0.4:80": { "in": 4 } } },
            "web": { "backends": { "10.0.0.2:80": { "in": 5 }, "10.0.0.3:80": null } },
        } });
        assert_eq!(change, expected);
        let nothing = serde_json::to_value(Change::between(&after, &after)).expect("JSON");
        assert_eq!(nothing, json!({ "all": { "at": 2 } }));
    }
}
