//! Checks of files, programs and users of a configuration on this host.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::Result;

use super::{
    Diagnostics, Fault, Loaded,
    diagnostics::Diagnostic,
    privileged::{OTHERS_WRITE_FIX, is_roots},
};
use crate::{
    health::{self, Prober},
    model::Probe,
};

/// Directory of systemd's credentials, while the unit runs.
const CREDENTIALS: &str = "/run/credentials";

impl Loaded {
    /// Returns an error if files of checks cannot be used, and the warnings that a daemon on this
    /// host would log.
    pub fn check_host(&self) -> Result<Vec<Diagnostics>> {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for fault in self.faults_of_checks(|check| {
            let fault = Prober::verify_files(check).err()?;
            Some((fault.key, fault.message, fault.fix.to_owned()))
        }) {
            let is_credential = fault.file.as_deref().is_some_and(is_absent_credential);
            if is_credential { &mut warnings } else { &mut errors }.push(fault);
        }
        self.refuse(errors.into_iter().map(|fault| fault.fault).collect())?;
        let warnings = warnings.into_iter().map(|found| Diagnostic {
            is_error: false,
            fix: "systemd creates it when the unit starts: check that `LoadCredential=` lists it"
                .to_owned(),
            ..found.fault.0
        });
        let mut warnings: Vec<_> = warnings.collect();
        warnings.extend(self.user_warning());
        warnings.extend(self.directory_warnings());
        warnings.extend(self.program_warnings());
        warnings.extend(self.socket_warning());
        Ok(Diagnostics::each(&self.source, &warnings))
    }

    fn user_warning(&self) -> Option<Diagnostic> {
        let span = self.spans.setting("checks.user")?;
        let fault = health::account_fault(&self.config.checks.user)?;
        Some(Diagnostic::warning(
            span,
            format!("{fault}: `exec` checks cannot run on this host"),
            "give an unprivileged user of /etc/passwd, as in user = \"nobody\"",
        ))
    }

    fn directory_warnings(&self) -> Vec<Diagnostic> {
        let named = self.config.checks.tls_directories.iter().zip(&self.spans.tls_directories);
        let open = named.filter(|(directory, _)| !is_roots(directory));
        let warning = |(directory, span): (&std::path::PathBuf, &std::ops::Range<usize>)| {
            let message = format!(
                "users other than root can write to {}: files in it are refused in their checks",
                directory.display()
            );
            Diagnostic::warning(span.clone(), message, OTHERS_WRITE_FIX)
        };
        open.map(warning).collect()
    }
}

impl Loaded {
    fn program_warnings(&self) -> Vec<Diagnostic> {
        let faults = self.faults_of_checks(|check| {
            let Probe::Exec = check.probe else { return None };
            let program = Path::new(check.request.command.as_ref()?.first()?);
            let message = program_fault(program)?;
            Some(("command", message, "install it, or give another program".to_owned()))
        });
        let warning = |found: CheckFault| Diagnostic { is_error: false, ..found.fault.0 };
        faults.into_iter().map(warning).collect()
    }

    fn socket_warning(&self) -> Option<Diagnostic> {
        let span = self.spans.setting("api.socket")?;
        let folder = self.config.api.socket.parent().filter(|folder| !folder.exists())?;
        Some(Diagnostic::warning(
            span,
            format!("there is no directory {}: the daemon creates it", folder.display()),
            "create it with the owner and permissions that you want",
        ))
    }
}

/// Returns the reason why a program cannot be run. Relative names are only resolved at run time.
fn program_fault(program: &Path) -> Option<String> {
    if !program.is_absolute() {
        return None;
    }
    let shown = program.display();
    match fs::metadata(program) {
        Err(error) => Some(format!("{shown} cannot be run: {error}")),
        Ok(found) if !found.is_file() || found.permissions().mode() & 0o111 == 0 => {
            Some(format!("{shown} is not an executable file"))
        }
        Ok(_) => None,
    }
}

fn is_absent_credential(file: &Path) -> bool {
    file.starts_with(CREDENTIALS) && !file.exists()
}

/// A fault of a check, and the file concerned.
#[derive(Debug)]
pub(super) struct CheckFault {
    pub(super) fault: Fault,
    pub(super) file: Option<std::path::PathBuf>,
}
