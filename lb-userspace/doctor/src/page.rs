//! Documentation of the checks.

use std::fmt::Write as _;

use super::check::{Check, GROUPS};

const HEAD: &str = "# Doctor\n\n\
    <!-- Generated from the code: `cargo xtask docs`. -->\n\n\
    `xdplb doctor` checks the host, the configuration and the running balancer. It changes\n\
    nothing. Each finding has one of these names, says what is wrong, and has the command or the\n\
    key that fixes it. What cannot be seen, for example without root, is listed as not checked.\n\
    `-o json` prints an array of `id`, `severity`, `subject`, `message` and `fix`; the severity of\n\
    what was not checked is `not-checked`, and its message the reason.\n\n\
    A *problem* keeps something from working; a *warning* is about what is slow, fragile or soon\n\
    exhausted; both make the exit code 4. A *note* is good to know.\n\n\
    Two settings that other XDP balancers depend on do not matter here, and are not checked:\n\
    `net.ipv4.ip_forward`, as the program looks no route up, and the limit of locked memory, as\n\
    BPF is not under it since Linux 5.11.\n";

/// Returns the reference page of all checks, in Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for group in GROUPS {
        let title = group.title;
        write!(page, "\n## {title}\n\n| name | severity | meaning |\n|---|---|---|\n")
            .expect("a string takes anything");
        for Check { id, severity, meaning, .. } in group.checks {
            writeln!(page, "| `{id}` | {} | {meaning} |", severity.word())
                .expect("a string takes anything");
        }
    }
    page
}
