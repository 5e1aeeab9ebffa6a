//! What recipients are told of a change of state.

use jiff::Timestamp;
use lb_host::printable;
use nix::unistd::gethostname;
use serde_json::{Map, Value, json};

use super::transition::{Transition, text};

/// Maximum length in bytes of a value in a program's environment.
const LONGEST_VALUE: usize = 4 << 10;

/// A change of state with its time and place.
#[derive(Clone, Debug)]
pub(super) struct Told {
    at: Timestamp,
    host: String,
    pub(super) transition: Transition,
}

impl Told {
    pub(super) fn now(transition: &Transition) -> Self {
        let host = gethostname().map(|name| name.to_string_lossy().into_owned());
        let host = host.unwrap_or_default();
        Self { at: Timestamp::now(), host, transition: transition.clone() }
    }

    /// Returns a JSON object on one line. `lost` is the number of changes before this one that the recipient
    /// was not told.
    pub(super) fn json(&self, lost: u64) -> String {
        let Transition { event, level, .. } = &self.transition;
        let mut object = Map::new();
        object.insert("at".to_owned(), json!(self.at));
        object.insert("host".to_owned(), json!(self.host));
        object.insert("level".to_owned(), json!(level.as_str().to_lowercase()));
        object.insert("event".to_owned(), json!(event.as_str()));
        object.insert("message".to_owned(), json!(event.message()));
        let keys = self.transition.keys();
        object.extend(keys.map(|(key, value)| (key.to_owned(), value.clone())));
        if lost > 0 {
            object.insert("lost".to_owned(), lost.into());
        }
        printable::json(&Value::Object(object).to_string()).into_owned()
    }

    /// Returns a program's environment.
    pub(super) fn environment(&self, lost: u64) -> Vec<(String, String)> {
        let Transition { event, level, .. } = &self.transition;
        let own = [
            ("at", self.at.to_string()),
            ("host", self.host.clone()),
            ("level", level.as_str().to_lowercase()),
            ("event", event.as_str().to_owned()),
            ("message", event.message().to_owned()),
        ];
        let keys = self.transition.keys().map(|(key, value)| (key, text(value)));
        let lost = (lost > 0).then(|| ("lost", lost.to_string()));
        let all = own.into_iter().chain(keys).chain(lost);
        all.map(|(key, value)| (format!("XDPLB_{}", key.to_uppercase()), plain(&value))).collect()
    }

    /// Returns the line of the log.
    pub(super) fn line(&self) -> String {
        shortened(&self.transition.line()).to_owned()
    }
}

/// Escapes what a terminal, or the system call, would not take.
fn plain(value: &str) -> String {
    printable::line(shortened(value)).into_owned()
}

fn shortened(value: &str) -> &str {
    &value[..value.floor_char_boundary(LONGEST_VALUE)]
}

#[cfg(test)]
mod tests {
    use lb_model::{Event, EventKey};

    use super::*;

    #[test]
    fn recipients_get_all_keys_and_no_control_bytes() {
        let down = Transition::new(Event::BackendDown)
            .with(EventKey::Service, "web")
            .with(EventKey::Reason, "a\0b\x1b[2J\u{9b}")
            .with(EventKey::Up, 1);
        let told = Told::now(&down);
        let json = told.json(7);
        assert!(!json.contains(char::is_control), "{json}");
        let object: Value = serde_json::from_str(&json).expect("JSON");
        for (key, value) in [
            ("event", json!("backend-down")),
            ("level", json!("warn")),
            ("message", json!("backend is down")),
            ("service", json!("web")),
            ("reason", json!("a\0b\x1b[2J\u{9b}")),
            ("up", json!(1)),
            ("lost", json!(7)),
        ] {
            assert_eq!(object[key], value, "{json}");
        }
        let environment = told.environment(0);
        assert!(environment.contains(&("XDPLB_UP".to_owned(), "1".to_owned())));
        assert!(environment.iter().all(|(_, value)| !value.contains(char::is_control)));
        let long = Transition::new(Event::BackendDown).with(EventKey::Reason, "ä".repeat(9_999));
        let environment = Told::now(&long).environment(0);
        assert!(environment.iter().all(|(_, value)| value.len() <= LONGEST_VALUE));
    }
}
