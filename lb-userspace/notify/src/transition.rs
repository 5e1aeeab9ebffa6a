//! A change of state.

use lb_host::printable;
use lb_model::{Event, EventKey};
use log::{
    Level, Record,
    kv::{Error, Key, Source, Value as LogValue, VisitSource},
};
use serde_json::Value;

/// Key of the event in records of the log.
pub const EVENT: &str = "event";

/// A change of state: a line of the log, and what recipients are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    pub event: Event,
    pub level: Level,
    keys: Vec<(EventKey, Value)>,
    /// True if it is only how something new turned out.
    is_expected: bool,
}

impl Transition {
    #[must_use]
    pub fn new(event: Event) -> Self {
        Self { event, level: event.level(), keys: Vec::new(), is_expected: false }
    }

    /// Changes its level.
    #[must_use]
    pub fn at(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// Adds a key, which must be one of the event's.
    #[must_use]
    pub fn with(mut self, key: EventKey, value: impl Into<Value>) -> Self {
        debug_assert!(self.event.keys().contains(&key), "{key:?} of {:?}", self.event);
        self.keys.push((key, value.into()));
        self
    }

    /// Marks it as how something new turned out: it is logged, but nobody is notified.
    #[must_use]
    pub fn expected(self, is_expected: bool) -> Self {
        Self { is_expected, ..self }
    }

    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.is_expected
    }

    /// Returns its keys and values, in the order of the line.
    pub fn keys(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.keys.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Returns the service that it is about.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        let found = self.keys.iter().find(|(key, _)| *key == EventKey::Service);
        found.and_then(|(_, value)| value.as_str())
    }

    /// Returns what it is about: a later change of the same subject makes this one outdated.
    pub(super) fn subject(&self) -> (Event, Vec<&Value>) {
        let is_name = |key: &EventKey| {
            use EventKey::{Backend, Interface, Service, Vip};
            matches!(key, Service | Backend | Interface | Vip)
        };
        let names = self.keys.iter().filter(|(key, _)| is_name(key));
        (self.event.family(), names.map(|(_, value)| value).collect())
    }

    /// Returns the line of the log, as in `backend is down service=web backend=10.0.0.11:80`.
    #[must_use]
    pub fn line(&self) -> String {
        let pairs = self.keys().map(|(key, value)| printable::pair(key, &text(value)));
        let words = [self.event.message().to_owned()].into_iter().chain(pairs);
        words.collect::<Vec<_>>().join(" ")
    }

    /// Writes it to the log.
    pub fn log(&self) {
        if self.level > log::max_level() {
            return;
        }
        log::logger().log(
            &Record::builder()
                .level(self.level)
                .target(module_path!())
                .key_values(self)
                .args(format_args!("{}", self.event.message()))
                .build(),
        );
    }
}

impl Source for Transition {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        visitor.visit_pair(Key::from_str(EVENT), LogValue::from(self.event.as_str()))?;
        self.keys.iter().try_for_each(|(key, value)| {
            let value = match value {
                Value::String(text) => LogValue::from(text.as_str()),
                other => match other.as_u64() {
                    Some(number) => LogValue::from(number),
                    None => LogValue::from_display(other),
                },
            };
            visitor.visit_pair(Key::from_str(key.as_str()), value)
        })
    }
}

/// Returns a value as text, a string without quotes.
#[must_use]
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_message_and_all_keys() {
        let down = Transition::new(Event::BackendDown)
            .with(EventKey::Service, "web")
            .with(EventKey::Backend, "10.0.0.11:80")
            .with(EventKey::Reason, "L4CON \"refused\"\n\x1b[2J")
            .with(EventKey::Up, 1);
        let line = "backend is down service=web backend=10.0.0.11:80 \
                    reason=\"L4CON \\\"refused\\\"\\n\\u001b[2J\" up=1";
        assert_eq!(down.line(), line);
        assert_eq!(down.service(), Some("web"));
    }
}
