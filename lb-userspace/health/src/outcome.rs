//! Results of probes.

use std::io;

use nix::errno::Errno;

use super::{heard::Heard, tls};

/// Result of a probe.
#[derive(Debug)]
pub(super) struct Outcome {
    /// None if the probe could not be carried out, through no fault of the backend.
    pub(super) success: Option<bool>,
    pub(super) detail: String,
}

impl Outcome {
    pub(super) fn passed(detail: String) -> Self {
        Self { success: Some(true), detail }
    }

    pub(super) fn failed(detail: String) -> Self {
        Self { success: Some(false), detail }
    }

    pub(super) fn unknown(detail: String) -> Self {
        Self { success: None, detail }
    }
}

/// Reason of a failed probe, with a code like `L7STS/503`.
#[derive(Debug)]
pub(super) struct Failure {
    code: String,
    detail: String,
    is_ours: bool,
}

impl Failure {
    pub(super) fn new(code: impl Into<String>, detail: &impl ToString) -> Self {
        Self { code: code.into(), detail: detail.to_string(), is_ours: false }
    }

    /// Returns the reason, without the code.
    pub(super) fn detail(self) -> String {
        self.detail
    }

    /// Converts a system error. If this host lacks resources, the backend is not to blame.
    pub(super) fn of(code: &str, error: &io::Error) -> Self {
        let is_ours = error.raw_os_error().is_some_and(|number| {
            matches!(
                Errno::from_raw(number),
                Errno::EMFILE
                    | Errno::ENFILE
                    | Errno::ENOMEM
                    | Errno::ENOBUFS
                    | Errno::EAGAIN
                    | Errno::EADDRNOTAVAIL
            )
        });
        let code = if is_ours { "SOCKERR" } else { code };
        Self { is_ours, ..Self::new(code, error) }
    }
}

/// Returns the failure for a server that speaks another protocol or sends nothing.
pub(super) fn wrong_protocol(protocol: &str, code: &str, heard: &Heard) -> Failure {
    if heard.is_nothing() {
        return Failure::new(code, &"the server closed the connection without an answer");
    }
    let guess = if heard.begins_with(b"HTTP/") {
        " (plain HTTP?)"
    } else if tls::RECORDS.iter().any(|record| heard.begins_with(record)) {
        " (TLS?)"
    } else {
        ""
    };
    Failure::new(code, &format!("not {protocol}{guess}: got {heard}"))
}

impl From<Failure> for Outcome {
    fn from(Failure { code, detail, is_ours }: Failure) -> Self {
        let detail = format!("{code} {detail}");
        if is_ours { Self::unknown(detail) } else { Self::failed(detail) }
    }
}
