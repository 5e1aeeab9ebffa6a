//! Keys of a service and their values.

use lb_config::reference;
use serde_json::Value;

/// Returns the settings of `[[service]]`, dotted, or the keys of a table in it.
pub(super) fn keys(table: Option<&str>) -> Vec<String> {
    let settings = reference::settings_of_service().to_value();
    match table {
        Some(table) => names(&settings["properties"][table]).collect(),
        None => names(&settings)
            .flat_map(|key| {
                let inner = names(&settings["properties"][&key]);
                let dotted: Vec<_> = inner.map(|inner| format!("{key}.{inner}")).collect();
                if dotted.is_empty() { vec![key] } else { dotted }
            })
            .collect(),
    }
}

/// Returns `KEY=` for each key, or `KEY=VALUE` for each value of the key that is typed.
pub(super) fn pairs(table: Option<&str>, typed: &str) -> Vec<String> {
    let Some((key, _)) = typed.split_once('=') else {
        return keys(table).into_iter().map(|key| format!("{key}=")).collect();
    };
    values(table, key).into_iter().map(|value| format!("{key}={value}")).collect()
}

fn values(table: Option<&str>, key: &str) -> Vec<String> {
    let settings = reference::settings_of_service().to_value();
    let path = table.into_iter().chain(key.split('.'));
    let described = path.fold(&settings, |schema, key| &schema["properties"][key]);
    if described["type"] == "boolean" {
        return vec!["true".to_owned(), "false".to_owned()];
    }
    let choices = described["oneOf"].as_array().into_iter().flatten();
    choices.filter_map(|one| one["const"].as_str()).map(ToOwned::to_owned).collect()
}

fn names(schema: &Value) -> impl Iterator<Item = String> {
    schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_those_of_the_file() {
        for (table, typed, offered) in [
            (Some("health"), "", "type="),
            (Some("health"), "type=", "type=https"),
            (Some("health"), "verify=", "verify=false"),
            (Some("timeouts"), "est", "established="),
            (None, "", "failback="),
            (None, "failback=", "failback=manual"),
            (None, "health.type=", "health.type=exec"),
        ] {
            let pairs = pairs(table, typed);
            assert!(pairs.contains(&offered.to_owned()), "{typed}: {pairs:?}");
        }
        for (table, typed) in [(Some("health"), "path="), (None, "nope="), (None, "health.x.y=")] {
            assert_eq!(pairs(table, typed), [""; 0], "{typed}");
        }
        assert!(keys(None).contains(&"health.path".to_owned()), "{:?}", keys(None));
    }
}
