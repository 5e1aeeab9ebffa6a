//! Errors of requests.

use std::{fmt, io, path::PathBuf, time::Duration};

use lb_model::Problem;

/// Error of an answer that cannot be parsed.
pub const STRANGE: &str = "cannot parse the daemon's answer: is the daemon of another version?";

pub(crate) const BROKEN_OFF: &str =
    "the daemon closed the connection before its answer was complete: has it stopped?";

/// Error of a request to the daemon.
#[derive(Debug)]
pub enum ClientError {
    /// No process listens on the socket.
    Absent {
        socket: PathBuf,
        error: io::Error,
    },
    /// The daemon has not done something in time.
    Late {
        socket: PathBuf,
        /// What it did not do.
        what: &'static str,
        patience: Duration,
    },
    Refused(Problem),
    /// The connection failed, or the answer is invalid.
    Broken(anyhow::Error),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { socket, error } => {
                let socket = socket.display();
                write!(
                    f,
                    "no daemon at {socket} ({error}): start it with `xdplb run -c FILE`, or give \
                     its socket with --socket"
                )
            }
            Self::Late { socket, what, patience } => {
                let (socket, patience) = (socket.display(), patience.as_secs());
                write!(
                    f,
                    "the daemon at {socket} is busy or stopped: it did not {what} within {patience} s"
                )
            }
            Self::Refused(problem) => f.write_str(&problem.detail),
            Self::Broken(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<anyhow::Error> for ClientError {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}
