//! Programs that are run with notifications.

use std::{
    fs, io,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use lb_health::program::{self, Ran};
use lb_host::{
    accounts::Account,
    ownership::{self, Unkept},
};
use tokio::time::{Instant, timeout_at};

use super::{blocking::Blocking, told::Told};

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
/// replace. Returns its path without links.
pub fn verify(program: &Path) -> Result<PathBuf, ProgramFault> {
    let unusable = |path: &Path, error: io::Error| {
        ProgramFault::Unusable(format!("{} cannot be run: {error}", path.display()))
    };
    let file = ownership::kept_file(program).map_err(|fault| match fault {
        Unkept::Open(path) => {
            let path = path.display();
            ProgramFault::Unsafe(format!("users other than root can write to {path}"))
        }
        Unkept::Unreadable(path, error) => unusable(&path, error),
    })?;
    let found = fs::metadata(&file).map_err(|error| unusable(&file, error))?;
    if !found.is_file() || found.mode() & EXECUTABLE == 0 {
        let message = format!("{} is not an executable file", program.display());
        return Err(ProgramFault::Unusable(message));
    }
    Ok(file)
}

/// Verifies a program, and finds the user that it runs as. The disk may take its time.
async fn prepare(
    program: &Path,
    user: &str,
    deadline: Instant,
    blocking: &Blocking,
) -> Result<(PathBuf, Account), String> {
    let (program, user) = (program.to_owned(), user.to_owned());
    let late = format!("{} cannot be read in time", program.display());
    let verifying = blocking.run(move || {
        let file = verify(&program).map_err(|fault| fault.message().to_owned())?;
        Ok((file, program::account(&user)?))
    });
    timeout_at(deadline, verifying).await.map_err(|_| late)??
}

/// Runs a program as a user, with the event and the line of the log as arguments, all keys in its
/// environment, and JSON on its standard input.
pub(super) async fn run(
    program: &Path,
    told: &Told,
    lost: u64,
    user: &str,
    timeout: Duration,
    blocking: &Blocking,
) -> Result<(), String> {
    let deadline = Instant::now() + timeout;
    let (file, account) = prepare(program, user, deadline, blocking).await?;
    let mut command = program::command(&file);
    command.arg0(program);
    command.arg(told.transition.event.as_str()).arg(told.line()).envs(told.environment(lost));
    let json = told.json(lost) + "\n";
    let rest = deadline.saturating_duration_since(Instant::now());
    let ran = program::run(command, account, Some(json.as_bytes()), rest).await;
    let Ran { status, said } = ran.map_err(|error| format!("cannot be run as {user}: {error}"))?;
    match status {
        Some(Ok(status)) if status.success() => Ok(()),
        Some(Ok(status)) => Err(format!("{status}{said}")),
        Some(Err(error)) => Err(format!("{error}{said}")),
        None => Err(format!("killed after {timeout:?}{said}")),
    }
}
