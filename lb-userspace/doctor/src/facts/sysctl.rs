//! The kernel's settings.

use std::{fs, str::FromStr};

use super::Seen;

/// Reads a number, such as `net.ipv4.conf.all.rp_filter`. Parts of a name are separated by slashes.
pub(super) fn number<T: FromStr>(key: &str) -> Seen<T> {
    let shown = key.replace('/', ".");
    let text = fs::read_to_string(format!("/proc/sys/{key}"))
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    text.trim().parse().map_err(|_| format!("{shown} is {text:?}"))
}
