//! Secrets in a configuration file that others can read.

use std::{fs, ops::Range, os::unix::fs::PermissionsExt as _, path::Path};

use lb_model::{Recipient, secrets};

use super::{Diagnostics, Loaded, diagnostics::Diagnostic, text::is_standard_input};

const OTHERS_READ: u32 = 0o004;

impl Loaded {
    /// Returns a warning of the first secret in its file, if all users can read the file.
    #[must_use]
    pub fn exposure_warning(&self, path: &Path) -> Vec<Diagnostics> {
        let is_open = !is_standard_input(path)
            && fs::metadata(path).is_ok_and(|found| {
                found.is_file() && found.permissions().mode() & OTHERS_READ != 0
            });
        let Some(span) = self.secret().filter(|_| is_open) else { return Vec::new() };
        let message = "all users of this host can read the file with this secret";
        let fix = "make it readable by root and the daemon only: `chmod o-r`";
        Diagnostics::each(&self.source, &[Diagnostic::warning(span, message, fix)])
    }

    /// Returns the place of a secret in the file.
    fn secret(&self) -> Option<Range<usize>> {
        let recipients = self.config.notify.iter().zip(&self.spans.notify);
        let mut urls =
            recipients.filter(|(notify, _)| matches!(notify.recipient, Recipient::Url(_)));
        let checks = [&self.spans.default_check].into_iter().chain(&self.spans.checks);
        let mut sent = checks.flatten().filter(|(key, _)| secrets::is_secret(key));
        self.spans
            .setting("api.http_token")
            .or_else(|| Some(urls.next()?.1.clone()))
            .or_else(|| Some(sent.next()?.1.clone()))
    }
}
