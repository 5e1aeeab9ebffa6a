//! Distribution of received packets over queues and CPUs.

use std::{collections::BTreeSet, fs, io, path::Path};

use lb_host::sys::ethtool;
use nix::errno::Errno;

use super::Seen;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spread {
    /// Queues of the table that hashes select from (RSS); None without such a table.
    pub(crate) queues: Option<BTreeSet<u32>>,
    pub(crate) interrupts: usize,
    /// CPUs that handle the interrupts.
    pub(crate) cpus: BTreeSet<String>,
}

pub(super) fn read(interface: &str) -> Seen<Spread> {
    let queues = match ethtool::receive_table(interface) {
        Ok(table) if table.is_empty() => None,
        Ok(table) => Some(table.into_iter().collect()),
        Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => None,
        Err(error) => return Err(format!("cannot read the RSS table of {interface}: {error}")),
    };
    let cpus: Vec<_> = interrupts(interface).filter_map(|number| cpus_of(&number).ok()).collect();
    Ok(Spread { queues, interrupts: cpus.len(), cpus: cpus.into_iter().collect() })
}

/// Returns the interrupts of a card, as far as this namespace's `/sys` shows it.
fn interrupts(interface: &str) -> impl Iterator<Item = String> {
    let directory = Path::new("/sys/class/net").join(interface).join("device/msi_irqs");
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

fn cpus_of(interrupt: &str) -> io::Result<String> {
    let path = format!("/proc/irq/{interrupt}/effective_affinity_list");
    Ok(fs::read_to_string(path)?.trim().to_owned())
}
