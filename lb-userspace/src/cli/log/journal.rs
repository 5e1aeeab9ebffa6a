//! Whether the log goes to systemd's journal.

use std::{env, io, os::fd::AsFd as _};

use nix::sys::stat::fstat;

/// Device and inode of the journal's stream, by systemd.exec(5).
const STREAM: &str = "JOURNAL_STREAM";

/// Returns true if standard error is the stream that systemd has connected with its journal.
pub(super) fn is_standard_error() -> bool {
    let Ok(stream) = env::var(STREAM) else { return false };
    let Ok(file) = fstat(io::stderr().as_fd()) else { return false };
    is_stream(&stream, file.st_dev, file.st_ino)
}

fn is_stream(stream: &str, device: u64, inode: u64) -> bool {
    let Some((its_device, its_inode)) = stream.split_once(':') else { return false };
    its_device.parse() == Ok(device) && its_inode.parse() == Ok(inode)
}

#[cfg(test)]
mod tests {
    use super::is_stream;

    #[test]
    fn a_stream_is_known_by_device_and_inode() {
        assert!(is_stream("9:4711", 9, 4711));
        for other in ["9:4712", "8:4711", "9", "", "9:", "a:b"] {
            assert!(!is_stream(other, 9, 4711), "{other}");
        }
    }
}
