//! Permissions for programs and files of checks. The daemon may run programs and read files that
//! the user who sets them may not: so root may set any, and other users only those already in use,
//! and files below directories that root has designated. Refused files are never accessed, so that
//! no answer reveals which files exist.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Result, bail, ensure};
use lb_health::Prober;
use lb_host::{ownership::is_only_roots, printable};
use lb_model::{ConnectionLog, HealthCheck, Notify, Recipient};
use lb_notify::ProgramFault;

use super::{Checks, Config, Fault, Loaded, diagnostics::Diagnostic, host::CheckFault};
use crate::desired::Document;

/// Fix of a directory that others can write to.
pub(super) const OTHERS_WRITE_FIX: &str =
    "make root its owner, and remove write access for everybody else: chmod go-w";

/// A program or a file of a check.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Named {
    Program(Vec<String>),
    File(&'static str, PathBuf),
}

/// Programs and files that users other than root may set.
#[derive(Debug, Default)]
pub struct Allowed {
    in_use: HashSet<Named>,
    directories: Vec<PathBuf>,
}

/// A program or a file that the user may not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub key: &'static str,
    pub message: String,
}

impl Named {
    fn of(check: &HealthCheck) -> impl Iterator<Item = Self> {
        let request = &check.request;
        let files =
            [("ca", &request.ca), ("certificate", &request.certificate), ("key", &request.key)];
        let files =
            files.into_iter().filter_map(|(key, file)| Some(Self::File(key, file.clone()?)));
        request.command.clone().map(Self::Program).into_iter().chain(files)
    }
}

impl Allowed {
    /// Allows the programs and files of the current services and of the last file: other users may
    /// reuse those that root has set.
    #[must_use]
    pub fn by(config: &Config, document: &Document) -> Self {
        let of_files = config.services.iter().map(|service| &service.policy.health);
        let checks = document.services().map(|service| &service.policy.health);
        let checks = checks.chain(of_files).chain([&config.defaults.health]);
        Self {
            in_use: checks.flat_map(Named::of).collect(),
            directories: config.checks.tls_directories.clone(),
        }
    }

    /// Allows only files below these directories.
    #[must_use]
    pub fn below(directories: &[PathBuf]) -> Self {
        Self { in_use: HashSet::new(), directories: directories.to_vec() }
    }

    /// Returns the first refused program or file of a check.
    #[must_use]
    pub fn refused(&self, check: &HealthCheck) -> Option<Refused> {
        Named::of(check).filter(|named| !self.in_use.contains(named)).find_map(
            |named| match named {
                Named::Program(_) => Some(Refused {
                    key: "command",
                    message: "only root may name a program to run".to_owned(),
                }),
                Named::File(key, file) => {
                    let message = self.refusal_of(&file)?;
                    Some(Refused { key, message })
                }
            },
        )
    }

    fn refusal_of(&self, file: &Path) -> Option<String> {
        let is_plain =
            file.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let directory = self.directories.iter().find(|one| is_plain && file.starts_with(one));
        let Some(directory) = directory else {
            let all: Vec<_> =
                self.directories.iter().map(|one| one.display().to_string()).collect();
            return Some(match all.as_slice() {
                [] => "only root may name files".to_owned(),
                all => {
                    format!("users other than root may only name files below {}", all.join(" or "))
                }
            });
        };
        // A link there could make the daemon read any file.
        let inner = file.ancestors().skip(1).take_while(|path| path.starts_with(directory));
        let open = inner.into_iter().find(|path| !is_roots(path))?;
        Some(format!(
            "users other than root could create links in {}: give write access only to root",
            open.display()
        ))
    }
}

/// Returns true if only root or the daemon's user can write to a directory, or if it does not
/// exist.
pub(super) fn is_roots(directory: &Path) -> bool {
    fs::symlink_metadata(directory).map_or(true, |found| is_only_roots(&found))
}

impl Loaded {
    /// Returns an error if settings other than services and their defaults differ from the running
    /// daemon: users other than root may change only those.
    pub fn refuse_settings(&self, running: &Config) -> Result<()> {
        let steps = running.steps_to(&self.config).into_iter().filter_map(|step| step.key);
        let keys = steps.filter(|key| !key.starts_with("defaults."));
        let fix = self.fix("apply it as root, or write it to the daemon's file and reload that");
        let fault = |key: String| {
            let place = self.spans.setting(&key).unwrap_or_default();
            let message = format!("only root may change `{key}`");
            Fault(Diagnostic::error(place, message, fix.clone()))
        };
        self.refuse(keys.map(fault).collect())
    }

    /// Returns the fix of a refused setting.
    fn fix(&self, sent: &str) -> String {
        if self.is_sent {
            return sent.to_owned();
        }
        let path = self.path();
        let path = printable::word(path);
        format!("users other than root can write to the file: chown root {path}; chmod go-w {path}")
    }

    /// Returns an error if a file that users other than root may have written sets more than they
    /// may, under these settings that only root may make.
    pub fn refuse_foreign(
        &self,
        checks: &Checks,
        notify: &[Notify],
        connection_log: Option<&ConnectionLog>,
        allowed: &Allowed,
    ) -> Result<()> {
        let fix = self.fix("apply it as root");
        if self.config.checks.user != checks.user && self.is_sent {
            bail!(
                "only root may change `checks.user`: as root, change it in the daemon's own file, \
                 and restart the daemon"
            );
        }
        ensure!(self.config.notify == notify, "only root may set `notify`: {fix}");
        let is_logged_as_before = self.config.connection_log.as_ref() == connection_log;
        ensure!(is_logged_as_before, "only root may set `connection_log`: {fix}");
        ensure!(self.config.checks == *checks, "only root may change `checks`: {fix}");
        self.refuse_checks(|check| {
            let Refused { key, message } = allowed.refused(check)?;
            Some((key, message, fix.clone()))
        })
    }

    /// Returns an error if somebody else than root could replace a program that notifications run.
    pub fn check_notify(&self) -> Result<()> {
        let faults = self.faults_of_notify().into_iter();
        self.refuse(faults.filter(|fault| fault.is_error).map(Fault).collect())
    }

    /// Returns errors of programs of notifications that others can replace, and warnings of those that this
    /// host cannot run.
    pub(super) fn faults_of_notify(&self) -> Vec<Diagnostic> {
        let recipients = self.config.notify.iter().zip(&self.spans.notify);
        let faults = recipients.filter_map(|(notify, place)| {
            let Recipient::Program(program) = &notify.recipient else { return None };
            Some(match lb_notify::verify_program(program).err()? {
                ProgramFault::Unsafe(message) => {
                    Diagnostic::error(place.clone(), message, OTHERS_WRITE_FIX)
                }
                ProgramFault::Unusable(message) => {
                    let fix = "install it, or give another program";
                    Diagnostic::warning(place.clone(), message, fix)
                }
            })
        });
        faults.collect()
    }

    /// Returns an error if files of checks cannot be used.
    pub fn check_files(&self) -> Result<()> {
        self.refuse_checks(|check| {
            let fault = Prober::verify_files(check).err()?;
            Some((fault.key, fault.message, fault.fix.to_owned()))
        })
    }

    fn refuse_checks(
        &self,
        fault_of: impl Fn(&HealthCheck) -> Option<(&'static str, String, String)>,
    ) -> Result<()> {
        let faults = self.faults_of_checks(fault_of);
        self.refuse(faults.into_iter().map(|found| found.fault).collect())
    }

    /// Returns the faults of checks, each with key, message and fix.
    pub(super) fn faults_of_checks(
        &self,
        fault_of: impl Fn(&HealthCheck) -> Option<(&'static str, String, String)>,
    ) -> Vec<CheckFault> {
        let mut faults: Vec<CheckFault> = Vec::new();
        // Cached, as many services share the same check.
        let mut known: HashMap<&HealthCheck, _> = HashMap::new();
        let services = self.config.services.iter().map(|service| &service.policy.health);
        let checks = services.zip(&self.spans.checks);
        let checks =
            [(&self.config.defaults.health, &self.spans.default_check)].into_iter().chain(checks);
        for (check, keys) in checks {
            let fault = known.entry(check).or_insert_with(|| fault_of(check));
            let Some((key, message, fix)) = fault else { continue };
            let mut places = keys.iter().chain(&self.spans.default_check);
            let span = places.find(|(known, _)| known == key).map(|(_, span)| span.clone());
            let fault = Fault(Diagnostic::error(
                span.unwrap_or_default(),
                format!("`{key}`: {message}"),
                fix.clone(),
            ));
            if faults.iter().all(|known| known.fault != fault) {
                let named = Named::of(check).find_map(|named| match named {
                    Named::File(named, file) if named == *key => Some(file),
                    _ => None,
                });
                faults.push(CheckFault { fault, file: named });
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use tempfile::TempDir;

    use super::*;
    use lb_model::{CheckRequest, Probe};

    fn tls(ca: &Path) -> HealthCheck {
        let request = CheckRequest { ca: Some(ca.to_owned()), ..CheckRequest::default() };
        HealthCheck { probe: Probe::Tls, request, ..HealthCheck::default() }
    }

    fn program(command: &[&str]) -> HealthCheck {
        let command = Some(command.iter().map(ToString::to_string).collect());
        let request = CheckRequest { command, ..CheckRequest::default() };
        HealthCheck { probe: Probe::Exec, request, ..HealthCheck::default() }
    }

    #[test]
    fn each_different_check_is_looked_at_once() {
        let service = |nth: u8, check: &str| {
            format!(
                "[[service]]\nname = \"s{nth}\"\nvip = \"203.0.113.{nth}:80\"\n{check}\n\
                 [[service.backend]]\naddress = \"10.0.0.11:80\"\n"
            )
        };
        let tcp = "health.type = \"tcp\"";
        let text: String = (1..=9).map(|nth| service(nth, tcp)).collect();
        let text = format!("interfaces = [\"eth0\"]\n{text}{}", service(10, "health.rise = 9"));
        let loaded = crate::read("test.toml".to_owned(), text).expect("valid");
        let different: HashSet<_> =
            loaded.config.services.iter().map(|service| &service.policy.health).collect();
        let looked_at = Cell::new(0);
        let faults = loaded.faults_of_checks(|_| {
            looked_at.set(looked_at.get() + 1);
            Some(("ca", "cannot be used".to_owned(), "write another".to_owned()))
        });
        assert!(!faults.is_empty(), "all have the fault");
        let defaults = usize::from(!different.contains(&loaded.config.defaults.health));
        assert_eq!(looked_at.get(), different.len() + defaults);
    }

    #[test]
    fn only_root_sets_programs_and_files_not_in_use() {
        let (known, ca) = (program(&["/bin/check", "-q"]), tls(Path::new("/etc/own.pem")));
        let in_use = [&known, &ca].into_iter().flat_map(Named::of).collect();
        let allowed = Allowed { in_use, directories: Vec::new() };
        assert_eq!(allowed.refused(&known), None);
        assert_eq!(allowed.refused(&ca), None);
        assert_eq!(allowed.refused(&HealthCheck::default()), None);
        for (check, key) in [
            (program(&["/bin/check"]), "command"),
            (program(&["/bin/sh", "-c", "id"]), "command"),
            (tls(Path::new("/etc/shadow")), "ca"),
        ] {
            assert_eq!(allowed.refused(&check).map(|refused| refused.key), Some(key));
        }
    }

    #[test]
    fn files_are_below_directories_of_root_and_never_revealed() {
        let directory = TempDir::new().expect("a directory");
        let root = directory.path().canonicalize().expect("there");
        let (tls_directory, open) = (root.join("tls"), root.join("tls/open"));
        fs::create_dir_all(&open).expect("made");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("set");
        fs::write(root.join("there"), "").expect("written");
        symlink("/etc/shadow", open.join("link")).expect("linked");
        let allowed = Allowed { in_use: HashSet::new(), directories: vec![tls_directory.clone()] };
        let refused = |path: &Path| allowed.refused(&tls(path)).map(|refused| refused.message);
        for fine in ["a.pem", "inner/a.pem"] {
            assert_eq!(refused(&tls_directory.join(fine)), None, "{fine}");
        }
        let elsewhere = refused(&root.join("there"));
        let message =
            format!("users other than root may only name files below {}", tls_directory.display());
        assert_eq!(elsewhere.as_deref(), Some(message.as_str()));
        let climbing = tls_directory.join("../there");
        for path in
            [&root.join("missing"), &climbing, Path::new("tls/a.pem"), Path::new("/etc/shadow")]
        {
            assert_eq!(refused(path), elsewhere, "{}", path.display());
        }
        let linked = refused(&open.join("link")).expect("refused");
        assert!(linked.contains("could create links in"), "{linked}");
    }
}
