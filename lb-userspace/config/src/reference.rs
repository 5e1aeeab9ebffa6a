//! Reference of the configuration file: JSON Schema, Markdown and a manual page.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use roff::{Roff, bold, roman};
use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};

use super::{
    Source, parse,
    schema::{self, File},
};

/// Minimal configuration, to get the default of every other key.
const LEAST: &str = "interfaces = [\"eth0\"]\n\
    [[service]]\nname = \"web\"\nvip = \"203.0.113.10:80\"\n\
    [[service.backend]]\naddress = \"10.0.0.11:80\"\n";

const HEAD: &str = "# Configuration\n\n\
    <!-- Generated from the code: `cargo xtask docs`. -->\n\n\
    The file is TOML. `xdplb check -c FILE` shows all errors in a file. For editors that support JSON\n\
Schema, use [xdplb.schema.json](xdplb.schema.json) or the output of `xdplb check --schema`.\n\
Durations are written like `500ms`, `2s` or `1h 30m`, shares like `30%`.\n";

/// Returns the JSON Schema (draft 2020-12) of the file, with the default of each key.
pub fn schema() -> Result<Value> {
    let mut schema = settings().into_generator().into_root_schema_for::<File>().to_value();
    schema["title"] = json!("Configuration of xdplb");
    let source = Source { path: "least".to_owned(), text: LEAST.to_owned() };
    let config = parse::parse(source)?.config;
    let mut defaults = serde_json::to_value(&config)?;
    let mut service = serde_json::to_value(&config.services[0])?;
    service["backend"] = service["backends"].take();
    defaults["service"] = json!([service]);
    add_defaults(&mut schema, &defaults);
    Ok(schema)
}

/// Returns the schema of one `[[service]]`.
#[must_use]
pub fn service() -> Schema {
    service_by(settings())
}

/// Returns the schema of a new service in a request, with `backends` in place of `backend`.
#[must_use]
pub fn new_service() -> Schema {
    let mut schema = service();
    let properties = schema.as_object_mut().and_then(|schema| schema.get_mut("properties"));
    if let Some(keys) = properties.and_then(Value::as_object_mut) {
        let backends = keys.shift_remove("backend");
        keys.extend(backends.map(|one| ("backends".to_owned(), one)));
    }
    schema
}

/// Returns the schema of the current settings of a service, by the keys of `[[service]]`.
#[must_use]
pub fn settings_of_service() -> Schema {
    let mut schema = service_by(settings());
    schema.remove("required");
    retain_keys(&mut schema, |key| !matches!(key, "name" | "vip" | "backend"));
    schema
}

/// Returns the schema of changes to one `[[service]]`: each key may be omitted or null. The name
/// cannot change, and backends are changed one by one.
#[must_use]
pub fn changes() -> Schema {
    let mut schema = service_by(inline());
    schema.remove("required");
    retain_keys(&mut schema, |key| !matches!(key, "name" | "backend"));
    schema
}

fn retain_keys(schema: &mut Schema, is_kept: impl Fn(&str) -> bool) {
    let properties = schema.as_object_mut().and_then(|schema| schema.get_mut("properties"));
    if let Some(keys) = properties.and_then(Value::as_object_mut) {
        keys.retain(|key, _| is_kept(key));
    }
}

fn service_by(settings: SchemaSettings) -> Schema {
    let mut schema = settings.into_generator().into_root_schema_for::<schema::Service>();
    schema.remove("$schema");
    schema
}

/// Returns the values of an enumerated key, anywhere in the file.
#[must_use]
pub fn words(key: &str) -> Vec<String> {
    let schema = inline().into_generator().into_root_schema_for::<File>().to_value();
    words_in(&schema, key).unwrap_or_default()
}

fn words_in(schema: &Value, key: &str) -> Option<Vec<String>> {
    let of_key = &schema["properties"][key];
    let choices = of_key["oneOf"].as_array().or_else(|| of_key["anyOf"][0]["oneOf"].as_array());
    if let Some(choices) = choices {
        let words = choices.iter().filter_map(|one| one["const"].as_str());
        return Some(words.map(ToOwned::to_owned).collect());
    }
    match schema {
        Value::Object(members) => members.values().find_map(|one| words_in(one, key)),
        Value::Array(values) => values.iter().find_map(|one| words_in(one, key)),
        _ => None,
    }
}

/// Returns the range of a numeric key, anywhere in the file.
pub(super) fn range(key: &str) -> Option<(u64, u64)> {
    let schema = inline().into_generator().into_root_schema_for::<File>().to_value();
    range_in(&schema, key)
}

fn range_in(schema: &Value, key: &str) -> Option<(u64, u64)> {
    let of_key = &schema["properties"][key];
    if let (Some(first), Some(last)) = (of_key["minimum"].as_u64(), of_key["maximum"].as_u64()) {
        return Some((first, last));
    }
    match schema {
        Value::Object(members) => members.values().find_map(|one| range_in(one, key)),
        Value::Array(values) => values.iter().find_map(|one| range_in(one, key)),
        _ => None,
    }
}

/// Returns the reference page in Markdown.
pub fn page() -> Result<String> {
    let schema = schema()?;
    let mut sections = Vec::new();
    collect("", &schema, &mut sections)?;
    let mut page = HEAD.to_owned();
    for Section { names, keys } in sections {
        write!(page, "\n## {}\n\n{}", names.join(", "), table(keys)?)?;
    }
    Ok(page)
}

fn settings() -> SchemaSettings {
    inline().with_transform(RecursiveTransform(without_null))
}

fn inline() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true)
}

/// Returns the manual page xdplb.toml(5).
pub fn manual() -> Result<String> {
    let schema = schema()?;
    let mut sections = Vec::new();
    collect("", &schema, &mut sections)?;
    let mut page = Roff::new();
    let version = concat!("xdplb ", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["XDPLB.TOML", "5", "", version]);
    page.control("SH", ["NAME"]).text([roman("xdplb.toml - configuration file of xdplb")]);
    page.control("SH", ["DESCRIPTION"])
        .text([roman("The file is TOML. xdplb check -c FILE shows all errors in a file.")]);
    for Section { names, keys } in sections {
        page.control("SH", [names.join(", ").replace('`', "").as_str()]);
        for (key, property) in plain_keys(keys) {
            let default = default(keys, key, property).replace('`', "");
            page.control("TP", []);
            page.text([bold(key), roman(format!("  {}  {default}", kind(property)))]);
            page.text([roman(meaning(property).replace("<br>", " ").replace('`', ""))]);
        }
    }
    page.control("SH", ["SEE ALSO"]).text([bold("xdplb"), roman("(1)")]);
    Ok(page.render())
}

/// Removes null from types: TOML has no null, keys are omitted instead.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            object["type"] = only.clone();
        }
    }
    let Some(Value::Array(mut choices)) = object.remove("anyOf") else { return };
    choices.retain(|choice| choice["type"] != "null");
    for choice in choices {
        let Value::Object(choice) = choice else { continue };
        for (key, value) in choice {
            object.entry(key).or_insert(value);
        }
    }
}

fn add_defaults(schema: &mut Value, defaults: &Value) {
    let required = schema["required"].clone();
    let Some(properties) = schema["properties"].as_object_mut() else { return };
    for (key, property) in properties {
        let default = &defaults[key];
        if property["properties"].is_object() {
            add_defaults(property, default);
        } else if property["items"]["properties"].is_object() {
            add_defaults(&mut property["items"], &default[0]);
        } else if !default.is_null() && !lists(&required, key) {
            property["default"] = default.clone();
        }
    }
}

fn lists(required: &Value, key: &str) -> bool {
    required.as_array().is_some_and(|keys| keys.iter().any(|one| one == key))
}

/// Tables of the file with the same keys.
struct Section<'a> {
    names: Vec<String>,
    keys: &'a Value,
}

fn collect<'a>(name: &str, keys: &'a Value, sections: &mut Vec<Section<'a>>) -> Result<()> {
    let properties = keys["properties"].as_object().context("a table has no keys")?;
    let heading = match keys["title"].as_str() {
        Some(_) if name.is_empty() => "Top level".to_owned(),
        _ => format!("`{name}`"),
    };
    let is_same = |section: &&mut Section<'a>| section.keys["properties"] == keys["properties"];
    match sections.iter_mut().find(is_same) {
        Some(same) => same.names.push(heading),
        None if properties.values().all(is_table) => {}
        None => sections.push(Section { names: vec![heading], keys }),
    }
    for (key, property) in properties {
        let path = [name.trim_matches(['[', ']']), key].join(".");
        let path = path.trim_start_matches('.');
        if property["properties"].is_object() {
            collect(&format!("[{path}]"), property, sections)?;
        } else if property["items"]["properties"].is_object() {
            collect(&format!("[[{path}]]"), &property["items"], sections)?;
        }
    }
    Ok(())
}

fn is_table(property: &Value) -> bool {
    property["properties"].is_object() || property["items"]["properties"].is_object()
}

fn table(keys: &Value) -> Result<String> {
    let mut text = String::new();
    if let Some(description) = keys["description"].as_str() {
        write!(text, "{}\n\n", joined(description))?;
    }
    text += "| key | value | default | meaning |\n|---|---|---|---|\n";
    for (key, property) in plain_keys(keys) {
        let default = default(keys, key, property);
        writeln!(text, "| `{key}` | {} | {default} | {} |", kind(property), meaning(property))?;
    }
    Ok(text)
}

/// Returns the keys of a table, except tables.
fn plain_keys(keys: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let properties = keys["properties"].as_object().into_iter().flatten();
    properties.filter(|(_, property)| !is_table(property))
}

fn default(keys: &Value, key: &str, property: &Value) -> String {
    match &property["default"] {
        _ if lists(&keys["required"], key) => "required".to_owned(),
        Value::Null => String::new(),
        value => format!("`{value}`"),
    }
}

fn kind(property: &Value) -> String {
    match (property["type"].as_str(), property["format"].as_str()) {
        (Some("array"), _) if property["items"]["oneOf"].is_array() => "list of these".to_owned(),
        (Some("array"), _) => format!("list of {}s", kind(&property["items"])),
        (_, Some("period")) => "duration".to_owned(),
        (_, Some("percent")) => "share".to_owned(),
        (_, Some("ip")) => "IP address".to_owned(),
        (Some(kind), _) => kind.to_owned(),
        (None, _) => "one of these".to_owned(),
    }
}

fn meaning(property: &Value) -> String {
    let description = property["description"].as_str().map(joined);
    let choices = property["oneOf"].as_array().or_else(|| property["items"]["oneOf"].as_array());
    let choices = choices.into_iter().flatten().map(|choice| {
        let description = choice["description"].as_str().unwrap_or_default();
        let others = choice["enum"].as_array().into_iter().flatten();
        let words = choice.get("const").into_iter().chain(others).map(|word| format!("`{word}`"));
        format!("{}: {}", words.collect::<Vec<_>>().join(", "), joined(description))
    });
    let meaning = description.into_iter().chain(choices).collect::<Vec<_>>().join("<br>");
    meaning.replace('|', "\\|")
}

/// Joins the lines of a description.
fn joined(description: &str) -> String {
    description.split_whitespace().collect::<Vec<_>>().join(" ")
}
