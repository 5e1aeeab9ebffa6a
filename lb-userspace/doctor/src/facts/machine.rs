//! The host itself.

use std::path::Path;

use lb_host::sys::clock;
use procfs::sys::kernel::Version;

use super::{Seen, bounded, sysctl};

#[derive(Debug)]
pub(crate) struct Machine {
    /// Major and minor number of the kernel's version.
    pub(crate) kernel: Seen<(u8, u8)>,
    /// True if the kernel describes its types.
    pub(crate) has_btf: Seen<bool>,
    /// True if the kernel translates programs to machine code.
    pub(crate) translates: Seen<bool>,
    pub(crate) is_clock_synchronised: Seen<bool>,
}

impl Machine {
    pub(super) async fn gather() -> Self {
        let (kernel, has_btf, translates, clock) = tokio::join!(
            bounded(Version::current),
            bounded(|| Path::new("/sys/kernel/btf/vmlinux").exists()),
            bounded(translates),
            bounded(clock::is_synchronised),
        );
        let version = |version: Version| (version.major, version.minor);
        Self {
            kernel: kernel.and_then(|found| found.map(version).map_err(|error| error.to_string())),
            has_btf,
            translates: translates.flatten(),
            is_clock_synchronised: clock
                .and_then(|found| found.map_err(|error| format!("adjtimex: {error}"))),
        }
    }
}

/// Network namespaces other than the first do not show the setting, but root sees its effect.
fn translates() -> Seen<bool> {
    match sysctl::number::<u8>("net/core/bpf_jit_enable") {
        Ok(value) => Ok(value > 0),
        Err(reason) => lb_dataplane::are_translated().ok_or(reason),
    }
}
