//! The log: one line per record, on standard error.

mod format;
mod journal;

use clap::ValueEnum;
use env_logger::{Builder, Env};
use jiff::Timestamp;

use super::args::Cli;

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LogFormat {
    /// Time, level, message, and keys as in `service=web`.
    Text,
    /// One JSON object per line: `at`, `level`, `message`, and keys such as `service` and `backend`.
    Json,
    /// Without the time, and with the level as a prefix that systemd's journal understands.
    Journal,
}

impl LogFormat {
    /// Returns the format for standard error.
    fn of_standard_error() -> Self {
        if journal::is_standard_error() { Self::Journal } else { Self::Text }
    }
}

/// Starts the log. `RUST_LOG` overrides the options.
pub(super) fn start(cli: &Cli) {
    let level = match i16::from(cli.verbose) - i16::from(cli.output.quiet) {
        ..=-2 => "error",
        -1 => "warn",
        0 => "info",
        1 => "debug",
        2.. => "trace",
    };
    let mut builder = Builder::from_env(Env::default().default_filter_or(level));
    match cli.log_format.unwrap_or_else(LogFormat::of_standard_error) {
        LogFormat::Text => builder.format(|out, record| {
            let style = out.default_level_style(record.level());
            format::text(out, record, style)
        }),
        LogFormat::Json => {
            builder.format(|out, record| format::json(out, record, Timestamp::now()))
        }
        LogFormat::Journal => builder.format(format::journal),
    };
    builder.init();
}
