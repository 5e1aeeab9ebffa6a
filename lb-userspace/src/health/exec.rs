//! The probe of type `exec`: a program that ends with 0.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time,
};

use super::{
    Outcome,
    probe::{Failure, Fault},
};
use crate::model::CheckRequest;

#[derive(Debug)]
pub(super) struct Exec {
    program: String,
    arguments: Vec<String>,
}

impl Exec {
    pub(super) fn new(request: &CheckRequest) -> Result<Self, Fault> {
        let command = request.command.as_deref().unwrap_or_default();
        let Some((program, arguments)) = command.split_first() else {
            return Err(Fault::missing("command", &"a check of type exec needs it")
                .mend("write it as in command = [\"/usr/local/bin/check\", \"--quick\"]"));
        };
        if !program.starts_with('/') {
            let message = format!("{program} is not a whole path");
            return Err(Fault::new("command", &message).mend("give the path from / on"));
        }
        Ok(Self { program: program.clone(), arguments: arguments.to_vec() })
    }

    /// Runs the program, and kills it and its children when its time is up.
    pub(super) async fn run(&self, at: SocketAddr, timeout: Duration) -> Outcome {
        let started = Command::new(&self.program)
            .args(&self.arguments)
            .env("XDPLB_ADDRESS", at.ip().to_string())
            .env("XDPLB_PORT", at.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => return Failure::of("PROCERR", &error).about(&self.program),
        };
        let mut group = Group::of(&child);
        let Ok(ended) = time::timeout(timeout, child.wait()).await else {
            drop(group);
            child.wait().await.ok();
            return Outcome::failed(format!("PROCTOUT not done in {timeout:?}"));
        };
        group.has_ended();
        match ended {
            Ok(status) if status.success() => Outcome::passed("PROCOK ended with 0".to_owned()),
            Ok(status) => Outcome::failed(format!("PROCERR {status}")),
            Err(error) => Outcome::failed(format!("PROCERR {error}")),
        }
    }
}

/// A program and its children. They are killed with it unless the program has ended: also when
/// nobody wants to know of the check any more.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// From now on its number may be another's.
    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It may have ended this very moment.
            killpg(leader, Signal::SIGKILL).ok();
        }
    }
}
