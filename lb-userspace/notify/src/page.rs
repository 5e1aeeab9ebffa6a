//! Documentation of the log's lines.

use lb_model::{Event, EventKey};

const HEAD: &str = "# Log and notifications\n\n\
    <!-- Generated from the code: `cargo xtask docs`. -->\n\n\
    Each change of state is one line: a message that is always the same, and keys with values. Values\n\
    that are no single word are quoted, with `\\\"` and `\\\\` escaped, and control characters as `\\u001b`:\n\n\
    ```text\n\
    [2026-01-02T03:04:05Z WARN ] backend is down service=web backend=10.0.0.11:80 reason=\"L4CON Connection refused\" up=1 backends=2\n\
    ```\n\n\
    `--log-format json` prints the same as a JSON object with `at`, `level`, `message`, `event` and the keys;\n\
    numbers are numbers. [`[[notify]]`](configuration.md) passes that object, with `host`, to programs and\n\
    servers. `lost` is then the number of notifications before it that the recipient did not get.\n\n\
    Nobody is notified of what the daemon finds when it starts, as it may have been so before, of the next\n\
    hop of a new backend, or of its first check, unless it fails. State in `state_dir` counts: a backend that\n\
    was down before a restart and is down after it has not changed.\n";

/// Returns the reference page of the log, in Markdown.
#[must_use]
pub fn page() -> String {
    let events = Event::ALL.iter().map(|event| {
        let level = event.level().as_str().to_ascii_lowercase();
        let keys = event.keys().iter().map(|key| format!("`{}`", key.as_str()));
        let keys = keys.collect::<Vec<_>>().join(" ");
        let (name, message, meaning) = (event.as_str(), event.message(), event.meaning());
        format!("| `{name}` | {level} | {message} | {keys} | {meaning} |\n")
    });
    let keys =
        EventKey::ALL.iter().map(|key| format!("| `{}` | {} |\n", key.as_str(), key.meaning()));
    let (events, keys) = (events.collect::<Vec<_>>().concat(), keys.collect::<Vec<_>>().concat());
    format!(
        "{HEAD}\n## Events\n\n| event | level | message | keys | meaning |\n|---|---|---|---|---|\n{events}\n\
         ## Keys\n\n| key | value |\n|---|---|\n{keys}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_and_key_has_a_line_with_one_sentence() {
        let page = page();
        let names = Event::ALL.iter().map(|event| event.as_str());
        for name in names.chain(EventKey::ALL.iter().map(|key| key.as_str())) {
            let cell = format!("| `{name}` | ");
            let lines: Vec<_> = page.lines().filter(|line| line.starts_with(&cell)).collect();
            assert!(matches!(lines[..], [line] if line.ends_with(". |")), "{name}: {lines:?}");
        }
    }
}
