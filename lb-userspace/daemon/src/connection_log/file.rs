//! A file that lines are appended to.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Time after which it is looked for again, in case that it was renamed or removed.
const ATTENTION: Duration = Duration::from_secs(1);

/// Permissions of a new one: collectors of logs in its group may read it.
const MODE: u32 = 0o640;

/// A file that is opened when it is first written to, and again when another one is in its place.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    /// When it was last in its place.
    seen: Instant,
    /// True if its last line may be torn.
    is_torn: bool,
}

impl LogFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None }
    }

    /// Appends lines. Returns how many were written, and what kept the others from being written.
    pub(super) fn append(&mut self, lines: &[u8]) -> (u64, io::Result<()>) {
        let open = self.open.take().filter(|open| !open.is_due() || open.is_at(&self.path));
        match open.map_or_else(|| Open::new(&self.path), Ok) {
            Ok(open) => self.open.insert(open).append(lines),
            Err(error) => (0, Err(error)),
        }
    }
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        let file = match options().open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
            opened => opened?,
        };
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let identity = (found.dev(), found.ino());
        let is_torn = !ends_with_newline(&file).unwrap_or(false);
        Ok(Self { file, identity, seen: Instant::now(), is_torn })
    }

    fn is_due(&self) -> bool {
        self.seen.elapsed() >= ATTENTION
    }

    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    fn append(&mut self, lines: &[u8]) -> (u64, io::Result<()>) {
        if self.is_due() {
            self.seen = Instant::now();
        }
        if self.is_torn
            && let Err(error) = self.file.write_all(b"\n")
        {
            return (0, Err(error));
        }
        let (bytes, result) = write(&mut self.file, lines);
        let written = &lines[..bytes];
        self.is_torn = !written.is_empty() && !written.ends_with(b"\n");
        (written.split(|byte| *byte == b'\n').skip(1).count() as u64, result)
    }
}

/// Writes as much as possible. Returns the number of bytes.
fn write(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Otherwise opening a pipe would wait for its reader.
    options.read(true).append(true).custom_flags(libc::O_NONBLOCK);
    options
}

/// Returns false if the last line is torn, as an earlier one has no room for its end.
fn ends_with_newline(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte == *b"\n")
}

fn create(path: &Path) -> io::Result<File> {
    let file = options().create_new(true).mode(MODE).open(path)?;
    // Whatever the umask is, which is for secrets.
    file.set_permissions(Permissions::from_mode(MODE))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn append(log: &mut LogFile, lines: &[u8]) -> io::Result<u64> {
        let (written, result) = log.append(lines);
        result.map(|()| written)
    }

    #[test]
    fn a_file_that_was_renamed_is_followed_by_a_new_one() {
        let directory = TempDir::new().expect("a directory");
        let [path, rotated] = ["log", "log.1"].map(|name| directory.path().join(name));
        let mut log = LogFile::new(&path);
        append(&mut log, b"one\n").expect("written");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        fs::rename(&path, &rotated).expect("renamed");
        append(&mut log, b"two\n").expect("written");
        let open = log.open.as_mut().expect("it is open");
        open.seen = open.seen.checked_sub(ATTENTION).expect("a moment ago");
        append(&mut log, b"three\n").expect("written");
        let read = |path| fs::read_to_string(path).expect("text");
        assert_eq!((read(&rotated), read(&path)), ("one\ntwo\n".into(), "three\n".into()));
    }

    #[test]
    fn what_is_no_file_is_refused_and_a_torn_line_ended() {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("log");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
        let mut log = LogFile::new(&path);
        append(&mut log, b"one\n").expect_err("nobody reads the pipe");
        fs::remove_file(&path).expect("removed");
        append(&mut log, b"two\n{").expect("written");
        let mut log = LogFile::new(&path);
        append(&mut log, b"three\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("text"), "two\n{\nthree\n");
    }
    #[test]
    fn lines_are_counted_that_were_written_before_a_fault() {
        let full = || OpenOptions::new().write(true).open("/dev/full").expect("there");
        assert!(matches!(write(&mut full(), b"one\n"), (0, Err(_))));
        let mut open =
            Open { file: full(), identity: (0, 0), seen: Instant::now(), is_torn: false };
        let (lines, result) = open.append(b"one\ntwo\n");
        assert!(lines == 0 && result.is_err() && !open.is_torn);
        let directory = TempDir::new().expect("a directory");
        let mut log = LogFile::new(&directory.path().join("log"));
        assert_eq!(append(&mut log, b"one\ntwo\nthr").expect("written"), 2);
    }
}
