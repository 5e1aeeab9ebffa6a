//! Programs of checks and notifications: confined, limited in time, and killed with their children.

use std::{
    io::{self, PipeReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command as Blueprint, ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        signal::{self as signals, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe::Receiver,
    process::{Child, ChildStdin, Command},
    signal::unix::{Signal, SignalKind, signal},
    time,
};

use lb_host::{
    accounts::{self, Account},
    printable,
    sys::program,
};

/// `PATH` of programs: the whole environment, except for what a program is about.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Size of a program's output that is kept, the last bytes.
const KEPT: usize = 1_024;

/// Maximum size of a program's output that is read.
const MOST_READ: usize = 1 << 20;

/// Maximum length in bytes of the line that is shown.
const LONGEST_LINE: usize = 160;

/// Maximum time to read a program's remaining output after it has ended.
const REST: Duration = Duration::from_millis(50);

/// A program that was started.
#[derive(Debug)]
pub struct Ran {
    /// None if its time was up.
    pub status: Option<io::Result<ExitStatus>>,
    /// The last line of its output behind a colon, or nothing.
    pub said: String,
}

/// Returns a command with an empty environment except for `PATH`.
#[must_use]
pub fn command(program: &Path) -> Blueprint {
    let mut command = Blueprint::new(program);
    command.env_clear().env("PATH", PATH).current_dir("/").process_group(0);
    command
}

/// Runs a command as a user with this input, if any, and kills it and its children when it has ended or its
/// time is up. Returns an error if it cannot be started.
pub async fn run(
    command: Blueprint,
    account: Account,
    input: Option<&[u8]>,
    timeout: Duration,
) -> io::Result<Ran> {
    // Registered before the program can end.
    let mut ends = signal(SignalKind::child())?;
    let (reader, writer) = io::pipe()?;
    let mut child = {
        let mut command = command;
        // One pipe for both, to keep their order.
        command.stdout(writer.try_clone()?).stderr(writer);
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        program::confine(&mut command, account);
        // The rest of the command still has the pipe open.
        Command::from(command).spawn()?
    };
    let mut said = Said::through(reader)?;
    let group = Group::of(&child);
    let feeding = feed(child.stdin.take(), input.unwrap_or_default());
    let ended = async {
        tokio::select! {
            () = group.leader_ends(&mut ends) => {}
            () = said.listen() => {}
            () = feeding => {}
        }
    };
    let in_time = time::timeout(timeout, ended).await.is_ok();
    // The group's id cannot be reused before its leader is reaped.
    drop(group);
    let ended = child.wait().await;
    Ok(Ran { status: in_time.then_some(ended), said: said.last_line().await })
}

/// Writes the input without ever returning. A program may ignore it.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        stdin.write_all(input).await.ok();
    }
    std::future::pending::<()>().await;
}

/// Returns the reason that programs cannot run as a user of this host, if any.
#[must_use]
pub fn account_fault(user: &str) -> Option<String> {
    account(user).err()
}

/// Returns the account that programs run as. Rejects accounts with rights over the daemon.
pub fn account(user: &str) -> Result<Account, String> {
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

/// Output of a program, of which the end is kept. The pipe is closed after [`MOST_READ`], or else reading would
/// cost as much as a program likes to write.
struct Said {
    pipe: Option<Receiver>,
    read: usize,
    kept: Vec<u8>,
}

impl Said {
    fn through(pipe: PipeReader) -> io::Result<Self> {
        let pipe = Receiver::from_owned_fd(pipe.into())?;
        Ok(Self { pipe: Some(pipe), read: 0, kept: Vec::new() })
    }

    /// Reads until all write ends of the pipe are closed, or enough is read.
    async fn read(&mut self) {
        let mut piece = [0; 1_024];
        while let Some(pipe) = self.pipe.as_mut().filter(|_| self.read < MOST_READ)
            && let Ok(length @ 1..) = pipe.read(&mut piece).await
        {
            self.read += length;
            self.kept.extend_from_slice(&piece[..length]);
            let excess = self.kept.len().saturating_sub(KEPT);
            self.kept.drain(..excess);
        }
        self.pipe = None;
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
            log::warn!("cannot kill the processes of a program: {error}");
        }
    }
}
