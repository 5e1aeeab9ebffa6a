//! Programs that are run with notifications.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::Duration,
};

use lb_health::program::{self, Ran};
use nix::unistd::geteuid;

use super::told::Told;

/// Write permissions of everybody except the owner.
const OTHERS_WRITE: u32 = 0o022;

/// In such a directory, only its owner can replace a file.
const STICKY: u32 = 0o1000;

const EXECUTABLE: u32 = 0o111;

/// Why a program is not run.
#[derive(Debug)]
pub enum ProgramFault {
    /// Somebody else than root could replace it.
    Unsafe(String),
    /// It cannot be run.
    Unusable(String),
}

impl ProgramFault {
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Unsafe(message) | Self::Unusable(message) => message,
        }
    }
}

/// Verifies that a program is an executable file that nobody but root, or the daemon's user, can change or
/// replace.
pub fn verify(program: &Path) -> Result<(), ProgramFault> {
    let unusable = |path: &Path, error: io::Error| {
        ProgramFault::Unusable(format!("{} cannot be run: {error}", path.display()))
    };
    let file = fs::canonicalize(program).map_err(|error| unusable(program, error))?;
    for path in file.ancestors() {
        let found = fs::metadata(path).map_err(|error| unusable(path, error))?;
        if !is_safe(&found) {
            return Err(ProgramFault::Unsafe(format!(
                "users other than root can write to {}",
                path.display()
            )));
        }
    }
    let found = fs::metadata(&file).map_err(|error| unusable(&file, error))?;
    if !found.is_file() || found.mode() & EXECUTABLE == 0 {
        let message = format!("{} is not an executable file", program.display());
        return Err(ProgramFault::Unusable(message));
    }
    Ok(())
}

fn is_safe(found: &Metadata) -> bool {
    let is_owned = found.uid() == 0 || found.uid() == geteuid().as_raw();
    let is_kept = found.is_dir() && found.mode() & STICKY != 0;
    is_owned && (is_kept || found.mode() & OTHERS_WRITE == 0)
}

/// Runs a program as a user, with the event and the line of the log as arguments, all keys in its
/// environment, and JSON on its standard input.
pub(super) async fn run(
    program: &Path,
    told: &Told,
    lost: u64,
    user: &str,
    timeout: Duration,
) -> Result<(), String> {
    verify(program).map_err(|fault| fault.message().to_owned())?;
    let account = program::account(user)?;
    let mut command = program::command(program);
    command.arg(told.transition.event.as_str()).arg(told.line()).envs(told.environment(lost));
    let json = told.json(lost) + "\n";
    let ran = program::run(command, account, Some(json.as_bytes()), timeout).await;
    let Ran { status, said } = ran.map_err(|error| format!("cannot be run as {user}: {error}"))?;
    match status {
        Some(Ok(status)) if status.success() => Ok(()),
        Some(Ok(status)) => Err(format!("{status}{said}")),
        Some(Err(error)) => Err(format!("{error}{said}")),
        None => Err(format!("killed after {timeout:?}{said}")),
    }
}
