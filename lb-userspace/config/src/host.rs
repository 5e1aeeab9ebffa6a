//! Checks of files, programs and users of a configuration on this host.

use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::Result;
use lb_health::Prober;
use lb_model::{HealthCheck, LogTarget, Probe};
use nix::{
    ifaddrs::getifaddrs,
    net::if_::{InterfaceFlags, if_nametoindex},
};

use super::{
    Diagnostics, Fault, Loaded,
    diagnostics::Diagnostic,
    privileged::{OTHERS_WRITE_FIX, is_roots},
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
        let (unsafe_programs, unusable): (Vec<_>, Vec<_>) =
            self.faults_of_notify().into_iter().partition(|fault| fault.is_error);
        let errors = errors.into_iter().map(|fault| fault.fault);
        self.refuse(errors.chain(unsafe_programs.into_iter().map(Fault)).collect())?;
        let warnings = warnings.into_iter().map(|found| Diagnostic {
            is_error: false,
            fix: "systemd creates it when the unit starts: check that `LoadCredential=` lists it"
                .to_owned(),
            ..found.fault.0
        });
        let mut warnings: Vec<_> = warnings.collect();
        warnings.extend(self.interface_warnings());
        warnings.extend(self.address_warnings());
        warnings.extend(self.user_warning());
        warnings.extend(self.directory_warnings());
        warnings.extend(self.log_warning());
        warnings.extend(self.program_warnings());
        warnings.extend(unusable);
        warnings.extend(self.socket_warning());
        Ok(Diagnostics::each(&self.source, &warnings))
    }

    fn interface_warnings(&self) -> impl Iterator<Item = Diagnostic> {
        let named = self.config.interfaces.iter().zip(&self.spans.interfaces);
        let missing = named.filter(|(name, _)| if_nametoindex(name.as_str()).is_err());
        missing.map(|(name, span)| {
            let message = format!("this host has no interface {name}: the daemon would not start");
            Diagnostic::warning(span.clone(), message, "`ip link` lists all interfaces")
        })
    }

    /// Returns warnings of loopback interfaces, and of source addresses that no interface has.
    fn address_warnings(&self) -> Vec<Diagnostic> {
        let Ok(found) = getifaddrs() else { return Vec::new() };
        let found: Vec<_> = found.collect();
        let is_loopback = |name: &str| {
            found.iter().any(|one| {
                one.interface_name == name && one.flags.contains(InterfaceFlags::IFF_LOOPBACK)
            })
        };
        let named = self.config.interfaces.iter().zip(&self.spans.interfaces);
        let loopbacks = named.filter(|(name, _)| is_loopback(name)).map(|(name, span)| {
            let message =
                format!("{name} is a loopback interface: no packet of a client crosses it");
            let fix = "list the interfaces towards clients and backends";
            Diagnostic::warning(span.clone(), message, fix)
        });
        let is_own = |address: &IpAddr| {
            let mut own = found.iter().filter_map(|one| one.address.as_ref()?.as_sockaddr_in());
            own.any(|own| IpAddr::from(own.ip()) == *address)
        };
        let sources = self.config.snat_addresses.iter().zip(&self.spans.snat_addresses);
        let missing = sources.filter(|(address, _)| !is_own(address)).map(|(address, span)| {
            let message = format!("no interface of this host has {address}: it is not used");
            let fix = format!("give it to one: `ip address add {address}/32 dev IFACE`");
            Diagnostic::warning(span.clone(), message, fix)
        });
        loopbacks.chain(missing).collect()
    }

    fn user_warning(&self) -> Option<Diagnostic> {
        let span = self.spans.setting("checks.user")?;
        let fault = lb_health::program::account_fault(&self.config.checks.user)?;
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
    /// Returns a warning if the connection log's file cannot be made.
    fn log_warning(&self) -> Option<Diagnostic> {
        let LogTarget::File(path) = &self.config.connection_log.as_ref()?.to else { return None };
        let (message, fix) = if path.is_dir() {
            ("this is a directory", "name a file in it")
        } else if !path.parent()?.is_dir() {
            ("its directory is missing: nothing would be logged", "create it")
        } else {
            return None;
        };
        let place = self.spans.setting("connection_log.to")?;
        Some(Diagnostic::warning(place, message, fix))
    }

    fn program_warnings(&self) -> Vec<Diagnostic> {
        let faults = self.faults_of_checks(|check| {
            let message = fault_of_program(check)?;
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

/// Returns a warning if this host cannot run the program of a check. Accesses the program's disk.
#[must_use]
pub fn program_warning(check: &HealthCheck) -> Option<String> {
    fault_of_program(check).map(|fault| format!("`health.command`: {fault}"))
}

fn fault_of_program(check: &HealthCheck) -> Option<String> {
    let Probe::Exec = check.probe else { return None };
    program_fault(Path::new(check.request.command.as_ref()?.first()?))
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
