//! Where lines go.

use std::{io, os::fd::AsFd as _};

use lb_model::{ConnectionLog as Settings, LineFormat, LogTarget};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{file::LogFile, line::Line};

#[derive(Debug)]
pub(super) enum Target {
    /// The daemon's log, on standard error.
    Log,
    File(LogFile),
}

impl Target {
    pub(super) fn of(settings: &Settings) -> Self {
        match &settings.to {
            LogTarget::Log => Self::Log,
            LogTarget::File(path) => Self::File(LogFile::new(path)),
        }
    }

    /// Appends lines. Returns how many were written, and what kept the others from being written.
    pub(super) fn append(&mut self, lines: &[Line], format: LineFormat) -> (u64, io::Result<()>) {
        match self {
            // A line that waits for its reader would keep all other lines of the daemon waiting, too.
            Self::Log => {
                (lines.iter().filter(|line| is_log_ready() && line.log()).count() as u64, Ok(()))
            }
            Self::File(file) => file.append(&encoded(lines, format)),
        }
    }
}

fn is_log_ready() -> bool {
    let error = io::stderr();
    let mut fds = [PollFd::new(error.as_fd(), PollFlags::POLLOUT)];
    let is_ready = |events: PollFlags| events.contains(PollFlags::POLLOUT);
    poll(&mut fds, PollTimeout::ZERO).is_ok() && fds[0].revents().is_some_and(is_ready)
}

fn encoded(lines: &[Line], format: LineFormat) -> Vec<u8> {
    let mut text = String::new();
    for line in lines {
        text += &match format {
            LineFormat::Text => line.text(),
            LineFormat::Json => serde_json::to_string(line).unwrap_or_default(),
        };
        text.push('\n');
    }
    text.into_bytes()
}
