//! Keys of services, as in the file.

/// Keys of the file's `[[service]]`, with their values.
pub type Keys = serde_json::Map<String, serde_json::Value>;

/// Key of a service's backends in bodies; [`BACKENDS_IN_FILE`] is that of the file.
pub const BACKENDS: &str = "backends";
pub const BACKENDS_IN_FILE: &str = "backend";

/// Returns the body that adds a service with these keys of the file.
#[must_use]
pub fn body_of(mut keys: Keys) -> Keys {
    if let Some(backends) = keys.remove(BACKENDS_IN_FILE) {
        keys.insert(BACKENDS.to_owned(), backends);
    }
    keys
}
