//! Origin of each setting of a service: the file, a command or the default.

use std::collections::{BTreeMap, HashMap};

use lb_model::{Backend, HealthCheck, Policy, Service, views::Origin};
use serde_json::Value;

use super::{Config, schema::File};

/// Settings that are set in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    defaults: Vec<&'static str>,
    /// By service, with its index in the file.
    services: HashMap<String, (usize, Vec<&'static str>)>,
}

impl Given {
    pub(super) fn of(file: &File) -> Self {
        let given = |(key, is_given): (&'static str, bool)| is_given.then_some(key);
        let named = file.service.iter().enumerate().filter_map(|(place, service)| {
            let service = service.get_ref();
            let name = service.name.as_ref()?.get_ref().clone();
            Some((name, (place, service.given().filter_map(given).collect())))
        });
        Self {
            defaults: file.defaults.given().filter_map(given).collect(),
            services: named.collect(),
        }
    }
}

impl Config {
    /// Returns the origin of each setting of a service, by its key in the file.
    #[must_use]
    pub fn origins(&self, service: &Service) -> BTreeMap<String, Origin> {
        let in_file = self.in_file(&service.name);
        let base = in_file.map_or_else(
            || settings(&Service { policy: self.defaults.clone(), ..service.clone() }),
            |(known, _)| settings(known),
        );
        let is_given = |key: &str| {
            let own = in_file.is_some_and(|(_, given)| given.contains(&key));
            own || self.given.defaults.contains(&key)
        };
        let implied = settings(&Service { policy: plain(service), ..service.clone() });
        let origin = |(key, value): (String, Value)| {
            // Keys that the file's type of check does not use are not in its service.
            let known = base.get(&key).or_else(|| implied.get(&key));
            let origin = if known != Some(&value) || (key == "vip" && in_file.is_none()) {
                Origin::Command
            } else if is_given(&key) {
                Origin::File
            } else {
                Origin::Default
            };
            (key, origin)
        };
        settings(service).into_iter().map(origin).collect()
    }

    /// Returns the origin of each backend of a service, including its weight and backup flag.
    #[must_use]
    pub fn backend_origins(&self, service: &Service) -> Vec<Origin> {
        let in_file = self.in_file(&service.name);
        let known: HashMap<_, _> = in_file
            .into_iter()
            .flat_map(|(known, _)| &known.backends)
            .map(|one| (one.address, one))
            .collect();
        let is_same = |one: &Backend, known: &Backend| {
            (one.weight, one.backup) == (known.weight, known.backup)
        };
        let origin = |one: &Backend| match known.get(&one.address) {
            Some(known) if is_same(one, known) => Origin::File,
            _ => Origin::Command,
        };
        service.backends.iter().map(origin).collect()
    }

    /// Returns a service as in the file, and the keys that are set there.
    fn in_file(&self, name: &str) -> Option<(&Service, &[&'static str])> {
        let (place, given) = self.given.services.get(name)?;
        Some((self.services.get(*place)?, given))
    }
}

/// Returns the default policy for a service's type of check.
fn plain(service: &Service) -> Policy {
    let probe = service.policy.health.probe;
    Policy { health: HealthCheck { probe, ..HealthCheck::default() }, ..Policy::default() }
}

/// Returns the effective values of a service's settings, by their keys in the file.
fn settings(service: &Service) -> BTreeMap<String, Value> {
    let policy = serde_json::to_value(service.policy.effective()).unwrap_or_default();
    let mut settings = BTreeMap::from([("vip".to_owned(), service.vip.to_string().into())]);
    flatten("", policy, &mut settings);
    settings
}

fn flatten(prefix: &str, value: Value, all: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(&key, value, all);
            }
        }
        value => drop(all.insert(prefix.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{changed_service, read, reference, schema, service};
    use lb_model::Keys;

    const FILE: &str = "interfaces = [\"eth0\"]\n\
        defaults.health.interval = \"5s\"\n\
        [[service]]\nname = \"web\"\nvip = \"203.0.113.10:80\"\nscheduler = \"round-robin\"\n\
        health = { type = \"http\", path = \"/\" }\n\
        backend = [{ address = \"10.0.0.1:80\" }, { address = \"10.0.0.2:80\" }]\n";

    fn keys(value: Value) -> Keys {
        let Value::Object(keys) = value else { panic!("no object") };
        keys
    }

    #[test]
    fn each_setting_has_the_origin_of_its_value() {
        let config = read("lb.toml".to_owned(), FILE.to_owned()).expect("valid").config;
        let web = &config.services[0];
        let keys_set = json!({ "health": { "fall": 9, "interval": "5s" }, "on_down": "reset" });
        let mut changed = changed_service(web, &keys(keys_set), &config.defaults).expect("valid");
        changed.backends[1].weight = 7;
        let origins = config.origins(&changed);
        for (key, expected) in [
            ("vip", Origin::File),
            ("scheduler", Origin::File),
            ("health.type", Origin::File),
            ("health.path", Origin::File),
            ("health.interval", Origin::File),
            ("health.fall", Origin::Command),
            ("on_down", Origin::Command),
            ("health.rise", Origin::Default),
            ("health.method", Origin::Default),
            ("timeouts.closed", Origin::Default),
            ("mode", Origin::Default),
        ] {
            assert_eq!(origins.get(key), Some(&expected), "{key}");
        }
        assert_eq!(config.backend_origins(&changed), [Origin::File, Origin::Command]);
    }

    #[test]
    fn a_service_of_a_command_has_the_defaults_of_the_file() {
        let config = read("lb.toml".to_owned(), FILE.to_owned()).expect("valid").config;
        let added = json!({ "vip": "203.0.113.11:80", "scheduler": "maglev" });
        let added = service("db", &keys(added), &config.defaults).expect("valid");
        let origins = config.origins(&added);
        assert_eq!(origins["vip"], Origin::Command);
        assert_eq!(origins["scheduler"], Origin::Command);
        assert_eq!(origins["health.interval"], Origin::File);
        assert_eq!(origins["health.rise"], Origin::Default);
    }

    #[test]
    fn every_key_of_a_service_is_looked_for() {
        let nothing = "name = \"web\"\nvip = \"203.0.113.10:80\"\n";
        let web: schema::Service = toml::from_str(nothing).expect("valid");
        let mut known: Vec<_> = web.given().map(|(key, _)| key.to_owned()).collect();
        let mut expected = Vec::new();
        for (key, property) in
            reference::changes().to_value()["properties"].as_object().expect("keys")
        {
            match property["properties"].as_object() {
                Some(table) => expected.extend(table.keys().map(|inner| format!("{key}.{inner}"))),
                None => expected.push(key.clone()),
            }
        }
        known.sort();
        expected.sort();
        assert_eq!(known, expected);
    }
}
