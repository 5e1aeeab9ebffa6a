//! Exit codes and errors of verbs.

use std::{borrow::Cow, env, ffi::OsString, io, process::ExitCode};

use lb_client::ClientError;
use lb_config::Diagnostics;
use lb_model::Problem;
use serde::Serialize;
use serde_json::Value;

use super::{
    args::{Output, SOCKET_VARIABLE},
    output::{print_error, print_json_error},
};
use lb_host::printable;

/// `diff` found differences, `check --strict` found warnings, or `doctor` found problems or warnings.
pub(super) const PROBLEMS: u8 = 4;

/// Usage error, or invalid configuration.
pub(super) const INVALID: u8 = 2;

pub(super) const UNWRITABLE: &str = "cannot write to standard output";

/// Problem document (RFC 9457).
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'a str,
    title: &'a str,
    /// Status of the daemon's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Value>,
    exit_code: u8,
}

impl<'a> Document<'a> {
    fn new(title: &'a str, detail: String, exit_code: u8) -> Self {
        let r#type = "about:blank";
        Self { r#type, title, status: None, detail, errors: Vec::new(), exit_code }
    }
}

/// Returns true if invalid arguments request JSON.
fn wants_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let words: Vec<_> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    // Short flags without a value may be joined with it, as in `-qojson`.
    let short = |word: &str| {
        let flags = word.strip_prefix('-')?.trim_start_matches(['q', 'v']);
        flags.strip_prefix('o').map(ToOwned::to_owned)
    };
    let is_pair = |pair: &[String]| {
        (pair[0] == "--output" || short(&pair[0]).as_deref() == Some("")) && pair[1] == "json"
    };
    let is_one = |word: &String| {
        word == "--output=json"
            || short(word).is_some_and(|value| ["json", "=json"].contains(&&*value))
    };
    words.iter().any(is_one) || words.windows(2).any(is_pair)
}

/// Prints a usage error or the requested help.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && wants_json(env::args_os()) {
        let text = error.render().to_string();
        let detail = text.trim_end().trim_start_matches("error: ").to_owned();
        print_json_error(&Document::new("Usage error", detail, INVALID));
    } else if is_printable() {
        // In colour on a terminal.
        match error.print() {
            // Standard error cannot tell that it failed itself.
            Err(failure) if !error.use_stderr() && !is_closed_pipe(&failure) => {
                print_error(format_args!("xdplb: {UNWRITABLE}: {failure}"));
                return ExitCode::FAILURE;
            }
            _ => {}
        }
    } else {
        print_error(error.render().to_string().trim_end());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(INVALID))
}

/// Returns true if the arguments repeated in usage and help have no control characters, so that
/// clap may add its own for colour.
fn is_printable() -> bool {
    let mut said = env::args_os().chain(env::var_os(SOCKET_VARIABLE));
    said.all(|one| matches!(printable::line(&one.to_string_lossy()), Cow::Borrowed(_)))
}

/// Error of a verb.
#[derive(Debug)]
pub(super) enum Failure {
    Operation(anyhow::Error),
    /// The arguments are invalid.
    Usage(anyhow::Error),
    /// The configuration is invalid; the text is complete.
    Config(anyhow::Error),
    Daemon(ClientError),
}

/// Returns the exit code of a verb that has printed its result. If the reader closes the pipe early, the
/// code is the same.
pub(super) fn after(printed: Result<(), Failure>, code: u8) -> Result<ExitCode, Failure> {
    match printed {
        Err(failure) if !failure.is_closed_pipe() => Err(failure),
        _ => Ok(code.into()),
    }
}

impl Failure {
    pub(super) fn report(&self, output: Output) -> ExitCode {
        if self.is_closed_pipe() {
            return ExitCode::SUCCESS;
        }
        if output.is_json() {
            print_json_error(&self.document());
            return self.code().into();
        }
        match self {
            Self::Operation(error) | Self::Usage(error) => {
                print_error(format_args!("xdplb: {error:#}"));
            }
            Self::Config(error) => print_error(format_args!("{error:#}")),
            Self::Daemon(ClientError::Refused(problem)) => print_problem(problem),
            Self::Daemon(error) => print_error(format_args!("xdplb: {error}")),
        }
        self.code().into()
    }

    fn document(&self) -> Document<'_> {
        let code = self.code();
        match self {
            Self::Operation(error) => Document::new("Failed", format!("{error:#}"), code),
            Self::Usage(error) => Document::new("Usage error", format!("{error:#}"), code),
            Self::Config(error) => {
                let found = error.downcast_ref::<Diagnostics>();
                let errors = found.map(Diagnostics::findings).unwrap_or_default();
                let errors = errors.iter().filter_map(|one| serde_json::to_value(one).ok());
                let detail = found.map_or_else(|| format!("{error:#}"), |all| all.summary().into());
                let document = Document::new("Invalid configuration", detail, code);
                Document { errors: errors.collect(), ..document }
            }
            Self::Daemon(ClientError::Refused(problem)) => {
                let errors = problem.errors.iter().filter_map(|one| serde_json::to_value(one).ok());
                let document = Document::new(&problem.title, problem.detail.clone(), code);
                Document { status: Some(problem.status), errors: errors.collect(), ..document }
            }
            Self::Daemon(error @ ClientError::Absent { .. }) => {
                Document::new("No daemon", error.to_string(), code)
            }
            Self::Daemon(error) => Document::new("Failed", error.to_string(), code),
        }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) => INVALID,
            Self::Daemon(ClientError::Refused(problem)) if problem.is_invalid() => INVALID,
            Self::Daemon(ClientError::Absent { .. }) => 3,
            Self::Operation(_) | Self::Daemon(_) => 1,
        }
    }

    /// Returns true if the reader of the output has closed the pipe, as in `| head`.
    pub(super) fn is_closed_pipe(&self) -> bool {
        let Self::Operation(error) = self else {
            return false;
        };
        error.downcast_ref::<io::Error>().is_some_and(is_closed_pipe)
    }
}

fn is_closed_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Prints all errors of a request, those of a file like `check`.
fn print_problem(Problem { detail, errors, report, .. }: &Problem) {
    if let Some(report) = report {
        return print_error(report);
    }
    if errors.is_empty() {
        return print_error(format_args!("xdplb: {detail}"));
    }
    for error in errors {
        print_error(format_args!("xdplb: {error}"));
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        if error.is::<lb_config::Diagnostics>() {
            Self::Config(error)
        } else {
            Self::Operation(error)
        }
    }
}

/// Errors of other files have a context.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Operation(anyhow::Error::from(error).context(UNWRITABLE))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Daemon(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_in_every_way_that_is_understood() {
        for (line, is_json) in [
            ("xdplb -o json nope", true),
            ("xdplb -ojson nope", true),
            ("xdplb -o=json nope", true),
            ("xdplb -qo json nope", true),
            ("xdplb -qvojson nope", true),
            ("xdplb nope -vvo=json", true),
            ("xdplb nope --output json", true),
            ("xdplb nope --output=json", true),
            ("xdplb -qo table nope json", false),
            ("xdplb check -cojson nope", false),
            ("xdplb -q json nope", false),
        ] {
            assert_eq!(wants_json(line.split(' ').map(OsString::from)), is_json, "{line}");
        }
    }
}
