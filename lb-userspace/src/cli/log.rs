//! The log: one line per record, on standard error.

use std::io::Write as _;

use super::args::Cli;
use lb_host::printable;

/// Starts the log. `RUST_LOG` overrides the options.
pub(super) fn start(cli: &Cli) {
    let level = match i16::from(cli.verbose) - i16::from(cli.quiet) {
        ..=-2 => "error",
        -1 => "warn",
        0 => "info",
        1 => "debug",
        2.. => "trace",
    };
    let environment = env_logger::Env::default().default_filter_or(level);
    let mut builder = env_logger::Builder::from_env(environment);
    builder.format(|out, record| {
        let (at, level) = (out.timestamp_seconds(), record.level());
        let style = out.default_level_style(level);
        writeln!(out, "[{at} {style}{level:<5}{style:#}] {}", text(&record.args().to_string()))
    });
    builder.init();
}

/// Escapes a record and indents further lines, so that none looks like another record.
fn text(text: &str) -> String {
    printable::lines(text).replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn no_text_forges_a_record_or_commands_a_terminal() {
        let hostile = "L7ERR \x1b[2J\u{9b}31m\r\n[2026-01-01T00:00:00Z INFO ] all is well";
        let expected =
            "L7ERR \\u{1b}[2J\\u{9b}31m\\r\n    [2026-01-01T00:00:00Z INFO ] all is well";
        assert_eq!(text(hostile), expected);
    }
}
