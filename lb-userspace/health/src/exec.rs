//! The probe of type `exec`: runs a program, which succeeds with exit status 0.

use std::{
    io::{self, PipeReader, PipeWriter},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::Stdio,
    time::Duration,
};

use lb_model::CheckRequest;
use nix::{
    errno::Errno,
    sys::{
        signal::{self as signals, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe::Receiver,
    process::{Child, Command},
    signal::unix::{Signal, SignalKind, signal},
    time,
};

use super::{fault::Fault, outcome::Outcome};
use lb_host::{
    accounts::{self, Account},
    printable,
    sys::program,
};

/// `PATH` of programs: the whole environment, except for the backend's address and port.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Size of a program's output that is kept, the last bytes.
const KEPT: usize = 1_024;

/// Maximum length in bytes of the line that is shown.
const LONGEST_LINE: usize = 160;

/// Maximum time to read a program's remaining output after it has ended.
const REST: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Exec {
    program: String,
    arguments: Vec<String>,
}

impl Exec {
    pub(super) fn new(request: &CheckRequest) -> Result<Self, Fault> {
        let command = request.command.as_deref().unwrap_or_default();
        let Some((program, arguments)) = command.split_first() else {
            return Err(Fault::missing("command", &"required for a check of type exec")
                .fix("write it as in command = [\"/usr/local/bin/check\", \"--quick\"]"));
        };
        if !program.starts_with('/') {
            let message = format!("{program} is not an absolute path");
            return Err(Fault::new("command", &message).fix("give an absolute path"));
        }
        if command.iter().any(|word| word.contains('\0')) {
            let message = "a word of a command cannot have a NUL character";
            return Err(Fault::new("command", &message).fix("remove it"));
        }
        Ok(Self { program: program.clone(), arguments: arguments.to_vec() })
    }

    /// Runs the program as a user, and kills it and its children when it has ended or its time is
    /// up.
    pub(super) async fn run(&self, at: SocketAddr, timeout: Duration, user: &str) -> Outcome {
        let account = match account(user) {
            Ok(account) => account,
            Err(reason) => return Outcome::unknown(format!("PROCERR {reason}")),
        };
        // Registered before the program can end.
        let ends = signal(SignalKind::child());
        let started = ends.and_then(|ends| {
            let (reader, writer) = io::pipe()?;
            // The rest of the command still has the pipe open.
            let child = self.command(at, account, writer)?.spawn()?;
            Ok((ends, child, Said::through(reader)?))
        });
        let (mut ends, mut child, mut said) = match started {
            Ok(started) => started,
            // The program has not contacted the backend.
            Err(error) => {
                let program = &self.program;
                let detail = format!("PROCERR {program} cannot be run as {user}: {error}");
                return Outcome::unknown(detail);
            }
        };
        let group = Group::of(&child);
        let ended = async {
            tokio::select! {
                () = group.leader_ends(&mut ends) => {}
                () = said.listen() => {}
            }
        };
        let in_time = time::timeout(timeout, ended).await.is_ok();
        // The group's id cannot be reused before its leader is reaped.
        drop(group);
        let ended = child.wait().await;
        let said = said.last_line().await;
        if !in_time {
            return Outcome::failed(format!("PROCTOUT no result after {timeout:?}{said}"));
        }
        match ended {
            Ok(status) if status.success() => {
                Outcome::passed(format!("PROCOK exit status 0{said}"))
            }
            Ok(status) => Outcome::failed(format!("PROCERR {status}{said}")),
            Err(error) => Outcome::failed(format!("PROCERR {error}{said}")),
        }
    }

    /// Builds the command, with stdout and stderr in one pipe to keep their order.
    fn command(&self, at: SocketAddr, account: Account, said: PipeWriter) -> io::Result<Command> {
        let mut command = std::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("XDPLB_ADDRESS", at.ip().to_string())
            .env("XDPLB_PORT", at.port().to_string())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .process_group(0);
        program::confine(&mut command, account);
        Ok(Command::from(command))
    }
}

/// Returns the reason that programs cannot run as a user of this host, if any.
#[must_use]
pub fn account_fault(user: &str) -> Option<String> {
    account(user).err()
}

/// Returns the account that programs run as. Rejects accounts with rights over the daemon.
fn account(user: &str) -> Result<Account, String> {
    let found = accounts::account(user);
    let account = found.ok_or_else(|| format!("`checks.user`: there is no user {user}"))?;
    if account.uid == 0 || account.gid == 0 {
        return Err(format!("`checks.user`: {user} has root's privileges"));
    }
    if accounts::group(lb_model::GROUP) == Some(account.gid) {
        return Err(format!("`checks.user`: {user} can access the daemon's socket"));
    }
    Ok(account)
}

/// Output of a program. All of it is read, or else the program would block; the end is kept.
struct Said {
    pipe: Receiver,
    kept: Vec<u8>,
}

impl Said {
    fn through(pipe: PipeReader) -> io::Result<Self> {
        Ok(Self { pipe: Receiver::from_owned_fd(pipe.into())?, kept: Vec::new() })
    }

    /// Reads until all write ends of the pipe are closed.
    async fn read(&mut self) {
        let mut piece = [0; 1_024];
        while let Ok(length @ 1..) = self.pipe.read(&mut piece).await {
            self.kept.extend_from_slice(&piece[..length]);
            let excess = self.kept.len().saturating_sub(KEPT);
            self.kept.drain(..excess);
        }
    }

    /// Reads without ever returning.
    async fn listen(&mut self) {
        self.read().await;
        std::future::pending::<()>().await;
    }

    /// Returns the last non-blank line of the program's output.
    async fn last_line(mut self) -> String {
        // A process that left the group may still have the pipe open.
        time::timeout(REST, self.read()).await.ok();
        let text = String::from_utf8_lossy(&self.kept);
        let is_shown = |c: char| !c.is_whitespace() && !c.is_control();
        let line = text.lines().map(str::trim).rfind(|line| line.contains(is_shown));
        line.map_or_else(String::new, |line| {
            let end = line.floor_char_boundary(LONGEST_LINE);
            let dots = if end < line.len() { "…" } else { "" };
            format!(": {}{dots}", printable::line(&line[..end]))
        })
    }
}

/// A program and its children, killed when this is dropped, also if the check is cancelled. Must be
/// dropped before the program is reaped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// Waits until the program has ended, without reaping it.
    async fn leader_ends(&self, ends: &mut Signal) {
        let Some(leader) = self.0 else { return };
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        while let Ok(WaitStatus::StillAlive) = waitid(Id::Pid(leader), look) {
            ends.recv().await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(leader) = self.0 else { return };
        if let Err(error) = killpg(leader, signals::Signal::SIGKILL)
            && error != Errno::ESRCH
        {
            log::warn!("cannot kill the processes of a check: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_have_no_nul() {
        for (command, is_valid) in [
            (&["/bin/true", "a b"][..], true),
            (&["/bin/tr\0ue"], false),
            (&["/bin/true", "a", "\0"], false),
        ] {
            let command = Some(command.iter().map(ToString::to_string).collect());
            let request = CheckRequest { command, ..CheckRequest::default() };
            let fault = Exec::new(&request).err();
            assert_eq!(fault.is_none(), is_valid, "{fault:?}");
        }
    }
}
