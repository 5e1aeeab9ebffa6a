//! The probe of type `exec`: a program that ends with 0.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{process::Command, time};

use super::{Outcome, probe::Fault};
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
            return Err(Fault::new("command", &"a check of type exec needs it"));
        };
        if !program.starts_with('/') {
            return Err(Fault::new("command", &format!("give {program} with its whole path")));
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
            .kill_on_drop(true)
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => return failed(format!("PROCERR {}: {error}", self.program)),
        };
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let ended = time::timeout(timeout, child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => {
                Outcome { success: true, detail: "PROCOK ended with 0".to_owned() }
            }
            Ok(Ok(status)) => failed(format!("PROCERR {status}")),
            Ok(Err(error)) => failed(format!("PROCERR {error}")),
            Err(_) => {
                // It may have ended this very moment.
                group.map(|group| killpg(group, Signal::SIGKILL).ok());
                child.wait().await.ok();
                failed(format!("PROCTOUT not done in {timeout:?}"))
            }
        }
    }
}

fn failed(detail: String) -> Outcome {
    Outcome { success: false, detail }
}
