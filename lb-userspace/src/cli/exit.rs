//! How a verb ends.

use std::{borrow::Cow, env, io, process::ExitCode};

use super::{args::SOCKET_VARIABLE, output::print_error};
use crate::api::ClientError;
use lb_host::printable;

/// `diff` has found differences, or `check --strict` warnings.
pub(super) const PROBLEMS: u8 = 4;

/// Prints wrong usage, or the help that was asked for.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    if is_printable() {
        // In colour, where there is any. Whoever has stopped reading is owed the exit code.
        error.print().ok();
    } else {
        print_error(error.render().to_string().trim_end());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Whether all that usage and help repeat can be shown in colour, among control characters of
/// clap's own.
fn is_printable() -> bool {
    let mut said = env::args_os().chain(env::var_os(SOCKET_VARIABLE));
    said.all(|one| matches!(printable::line(&one.to_string_lossy()), Cow::Borrowed(_)))
}

/// Why a verb could not be carried out.
#[derive(Debug)]
pub(super) enum Failure {
    Operation(anyhow::Error),
    /// What was asked for makes no sense.
    Usage(anyhow::Error),
    /// The configuration is invalid; the text is complete.
    Config(anyhow::Error),
    Daemon(ClientError),
}

impl Failure {
    pub(super) fn report(&self) -> ExitCode {
        if self.is_closed_pipe() {
            return ExitCode::SUCCESS;
        }
        match self {
            Self::Operation(error) | Self::Usage(error) => {
                print_error(format_args!("xdplb: {error:#}"));
            }
            Self::Config(error) => print_error(format_args!("{error:#}")),
            Self::Daemon(error) => print_error(format_args!("xdplb: {error}")),
        }
        self.code()
    }

    fn code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Usage(_) => ExitCode::from(2),
            Self::Daemon(ClientError::Refused(problem)) if problem.is_invalid() => {
                ExitCode::from(2)
            }
            Self::Daemon(ClientError::Absent { .. }) => ExitCode::from(3),
            Self::Operation(_) | Self::Daemon(_) => ExitCode::FAILURE,
        }
    }

    /// Whether the reader of the output has had enough, as in `| head`.
    fn is_closed_pipe(&self) -> bool {
        let Self::Operation(error) = self else {
            return false;
        };
        let error = error.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        if error.is::<crate::config::Diagnostics>() {
            Self::Config(error)
        } else {
            Self::Operation(error)
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Operation(error.into())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Daemon(error)
    }
}
