//! Files that checks name.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::model::CheckRequest;

/// In bytes: all certificates that a system trusts are a quarter of a megabyte.
const LONGEST: u64 = 16 << 20;

/// Tells a file's contents from former ones. Nothing if there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<[i64; 6]>);

/// Of all files that a check names.
pub(super) fn stamps(request: &CheckRequest) -> Vec<Stamp> {
    let files = [&request.ca, &request.certificate, &request.key];
    files.into_iter().flatten().map(|file| stamp(file)).collect()
}

/// The key of the first file that a check needs: without any, certificates that the host trusts.
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

/// A file's contents. It must be an ordinary one: nobody waits for a pipe.
pub(super) fn read(file: &Path) -> io::Result<Vec<u8>> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(file)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("this is no file"));
    }
    if found.len() > LONGEST {
        return Err(io::Error::other("this is too long"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}
