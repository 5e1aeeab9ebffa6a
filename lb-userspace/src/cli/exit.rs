//! How a verb ends.

use std::{fmt, io, process::ExitCode};

/// `check` found problems.
pub(super) const PROBLEMS: u8 = 4;

/// Why a verb could not be carried out.
#[derive(Debug)]
pub(super) enum Failure {
    Operation(anyhow::Error),
    /// The configuration is invalid; the text is complete.
    Config(anyhow::Error),
    NoDaemon(String),
}

impl Failure {
    pub(super) fn report(&self) -> ExitCode {
        if self.is_closed_pipe() {
            return ExitCode::SUCCESS;
        }
        match self {
            Self::Operation(error) => eprintln!("xdplb: {error:#}"),
            Self::Config(error) => eprintln!("{error:#}"),
            Self::NoDaemon(message) => eprintln!("xdplb: {message}"),
        }
        self.code()
    }

    fn code(&self) -> ExitCode {
        match self {
            Self::Operation(_) => ExitCode::FAILURE,
            Self::Config(_) => ExitCode::from(2),
            Self::NoDaemon(_) => ExitCode::from(3),
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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(error) | Self::Config(error) => write!(f, "{error:#}"),
            Self::NoDaemon(message) => f.write_str(message),
        }
    }
}
