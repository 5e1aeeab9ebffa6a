//! The probe of type `exec`: runs a program, which succeeds with exit status 0.

use std::{net::SocketAddr, path::Path, time::Duration};

use lb_model::CheckRequest;

use super::{
    fault::Fault,
    outcome::Outcome,
    program::{self, Ran},
};

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
        let account = match program::account(user) {
            Ok(account) => account,
            Err(reason) => return Outcome::unknown(format!("PROCERR {reason}")),
        };
        let mut command = program::command(Path::new(&self.program));
        command
            .args(&self.arguments)
            .env("XDPLB_ADDRESS", at.ip().to_string())
            .env("XDPLB_PORT", at.port().to_string());
        match program::run(command, account, None, timeout).await {
            // The program has not contacted the backend.
            Err(error) => {
                let program = &self.program;
                let detail = format!("PROCERR {program} cannot be run as {user}: {error}");
                Outcome::unknown(detail)
            }
            Ok(Ran { status: None, said }) => {
                Outcome::failed(format!("PROCTOUT no result after {timeout:?}{said}"))
            }
            Ok(Ran { status: Some(Ok(status)), said }) if status.success() => {
                Outcome::passed(format!("PROCOK exit status 0{said}"))
            }
            Ok(Ran { status: Some(Ok(status)), said }) => {
                Outcome::failed(format!("PROCERR {status}{said}"))
            }
            Ok(Ran { status: Some(Err(error)), said }) => {
                Outcome::failed(format!("PROCERR {error}{said}"))
            }
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
