//! Documentation of the log's lines.

use lb_common::ended::How;

use super::line::{EVENT_WORD, Key, MESSAGE};

const HEAD: &str = "\n## Connection log\n\n\
    With a [`[connection_log]`](configuration.md) table, each connection is a line when it has ended: a closed\n\
    one when it has been silent for a second, all others when they leave the flow table. In a file:\n\n\
    ```text\n\
    ended=2026-01-02T03:04:05.000Z started=2026-01-02T03:04:03.000Z seconds=2.0 last_packet=2026-01-02T03:04:05.000Z service=web client=198.51.100.7:40000 vip=203.0.113.10:80 source=10.0.0.1:1025 backend=10.0.0.11:80 end=closed\n\
    ```\n\n\
    With `format = \"json\"` it is an object with the same keys. Times are precise to a few milliseconds, and\n\
    lines not in their order. Connections that never got a backend are not here: `xdplb stats` counts them as\n\
    `reset_no_backend`, `table_full` and `ports_exhausted`.\n";

/// Returns the part of the reference of the log that is about connections, in Markdown.
#[must_use]
pub fn page() -> String {
    let keys = Key::ALL.iter().map(|key| format!("| `{}` | {} |\n", key.as_str(), key.meaning()));
    let ends = How::ALL.iter().map(|how| format!("| `{}` | {} |\n", how.as_str(), how.meaning()));
    let (keys, ends) = (keys.collect::<String>(), ends.collect::<String>());
    format!(
        "{HEAD}In the daemon's log its message is `{MESSAGE}`, and its event `{EVENT_WORD}`.\n\n\
         | key | value |\n|---|---|\n{keys}\n| end | meaning |\n|---|---|\n{ends}\n\
         Lines are left out, and counted (`xdplb_connection_log_lines_total`, `ends_not_logged`), beyond\n\
         `per_second`, when they cannot be written at once, and when more than 262,144 wait to be written. What is in the\n\
         daemon's memory when it is killed is lost; what the program removes while no daemon runs is logged by\n\
         the next one. A connection that goes on after a reset that was logged is logged again at its end, and\n\
         one that closed just before a restart with other limits maybe twice. Connections that find no room in\n\
         a smaller flow table have no line, and those that a client resets and opens again from the same port\n\
         are one, until the first has been silent for a second.\n"
    )
}
