//! Files that checks refer to.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use lb_model::CheckRequest;

/// Maximum file size in bytes. A system's CA bundle has a quarter of a megabyte.
const LONGEST: u64 = 16 << 20;

/// Identifies a version of a file's contents. None if there is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<[i64; 6]>);

/// Returns the stamps of all files that a check refers to.
pub(super) fn stamps(request: &CheckRequest) -> Vec<Stamp> {
    let files = [&request.ca, &request.certificate, &request.key];
    files.into_iter().flatten().map(|file| stamp(file)).collect()
}

/// Returns the key of the first file that a check needs; without any, it uses the host's CA
/// certificates.
pub(super) fn first_key(request: &CheckRequest) -> &'static str {
    match request {
        CheckRequest { command: Some(_), .. } => "command",
        CheckRequest { ca: None, certificate: Some(_), .. } => "certificate",
        _ => "ca",
    }
}

fn stamp(file: &Path) -> Stamp {
    let found = fs::metadata(file).ok();
    Stamp(found.map(|found| {
        let (device, inode) = (found.dev().cast_signed(), found.ino().cast_signed());
        let size = found.size().cast_signed();
        [device, inode, size, found.mtime_nsec(), found.ctime(), found.ctime_nsec()]
    }))
}

/// Reads a regular file. Others are refused, as reading a pipe could block.
pub(super) fn read(file: &Path) -> io::Result<Vec<u8>> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(file)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if found.len() > LONGEST {
        return Err(io::Error::other("this is too long"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}
