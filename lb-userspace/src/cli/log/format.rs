//! Formats of records. Whatever a record says, it is one record, and commands no terminal.

use std::{
    fmt,
    io::{self, Write},
};

use env_logger::fmt::{Formatter, style::Style};
use jiff::Timestamp;
use log::{
    Level, Record,
    kv::{Error, Key, Value, VisitSource},
};
use serde_json::{Map, json};

use lb_host::printable;
use lb_notify::EVENT;

pub(super) fn text(out: &mut Formatter, record: &Record<'_>, style: Style) -> io::Result<()> {
    let (at, level, message) = (out.timestamp_seconds(), record.level(), readable(record)?);
    writeln!(out, "[{at} {style}{level:<5}{style:#}] {message}")
}

/// As sd-daemon(3) describes it. Each line is a record of the journal.
pub(super) fn journal(out: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
    let priority = match record.level() {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    let message = readable(record)?;
    message.lines().try_for_each(|line| writeln!(out, "<{priority}>{line}"))
}

pub(super) fn json(out: &mut impl Write, record: &Record<'_>, at: Timestamp) -> io::Result<()> {
    let mut object = Map::new();
    object.insert("at".to_owned(), json!(at));
    object.insert("level".to_owned(), json!(record.level().as_str().to_lowercase()));
    object.insert("message".to_owned(), json!(record.args().to_string()));
    record.key_values().visit(&mut Members(&mut object)).map_err(io::Error::other)?;
    let line = serde_json::to_string(&object)?;
    writeln!(out, "{}", printable::json(&line))
}

/// Adds a record's keys to an object.
struct Members<'a>(&'a mut Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Members<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = match (value.to_u64(), value.to_f64()) {
            (Some(number), _) => json!(number),
            (_, Some(number)) => json!(number),
            _ => json!(value.to_string()),
        };
        self.0.insert(key.to_string(), value);
        Ok(())
    }
}

/// Adds a record's keys to a line, as in `service=web`.
struct Pairs<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Pairs<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        // The message says it.
        if key.as_str() != EVENT {
            self.0.push(' ');
            self.0.push_str(&printable::pair(key.as_str(), &value.to_string()));
        }
        Ok(())
    }
}

/// Formats a record for people: its message, and then its keys.
fn readable(record: &Record<'_>) -> io::Result<String> {
    let mut line = escaped(record.args());
    record.key_values().visit(&mut Pairs(&mut line)).map_err(io::Error::other)?;
    Ok(line)
}

/// Escapes a record and indents further lines, so that none looks like another record.
fn escaped(message: impl fmt::Display) -> String {
    printable::lines(&message.to_string()).replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "L7ERR \x1b[2J\u{9b}31m\r\n[2026-01-01T00:00:00Z INFO ] all is well";

    fn written(write: impl FnOnce(&mut Vec<u8>, &Record<'_>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        let keys = [
            ("event", Value::from("backend-down")),
            ("service", Value::from("web")),
            ("reason", Value::from("no \x1b[2J\nroute")),
            ("up", Value::from(1)),
        ];
        let message = format_args!("web: {HOSTILE}");
        let record = Record::builder().level(Level::Warn).key_values(&keys).args(message).build();
        write(&mut out, &record).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn no_text_forges_a_record_or_commands_a_terminal() {
        let expected =
            "L7ERR \\u{1b}[2J\\u{9b}31m\\r\n    [2026-01-01T00:00:00Z INFO ] all is well";
        assert_eq!(escaped(HOSTILE), expected);
    }

    #[test]
    fn the_journal_gets_priorities() {
        let told = written(journal);
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 2, "{told}");
        assert!(lines[0].starts_with("<4>web: L7ERR "), "{told}");
        assert!(lines[1].starts_with("<4>    ["), "{told}");
        let keys = r#" service=web reason="no \u001b[2J\nroute" up=1"#;
        assert!(lines[1].ends_with(keys), "{told}");
    }

    #[test]
    fn machines_get_an_object_with_keys() {
        let at = "2026-01-02T03:04:05Z".parse().expect("a time");
        let told = written(|out, record| json(out, record, at));
        assert_eq!(told.lines().count(), 1, "{told}");
        let object: serde_json::Value = serde_json::from_str(&told).expect("an object");
        let expected = json!({
            "at": "2026-01-02T03:04:05Z", "level": "warn", "message": format!("web: {HOSTILE}"),
            "event": "backend-down", "service": "web", "reason": "no \x1b[2J\nroute", "up": 1,
        });
        assert_eq!(object, expected);
        assert!(!told.contains('\x1b') && !told.contains('\u{9b}'), "{told}");
    }
}
