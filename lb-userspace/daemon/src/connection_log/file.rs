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

    /// Appends lines.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let open = self.open.take().filter(|open| !open.is_due() || open.is_at(&self.path));
        let open = match open {
            Some(open) => open,
            None => Open::new(&self.path)?,
        };
        self.open.insert(open).append(lines)
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
        let is_torn = !ends_with_newline(path).unwrap_or(true);
        Ok(Self { file, identity, seen: Instant::now(), is_torn })
    }

    fn is_due(&self) -> bool {
        self.seen.elapsed() >= ATTENTION
    }

    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_due() {
            self.seen = Instant::now();
        }
        if self.is_torn {
            self.file.write_all(b"\n")?;
        }
        self.is_torn = true;
        self.file.write_all(lines)?;
        self.is_torn = false;
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Otherwise opening a pipe would wait for its reader.
    options.append(true).custom_flags(libc::O_NONBLOCK);
    options
}

/// Returns false if the last line is torn, as an earlier one has no room for its end.
fn ends_with_newline(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
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

    #[test]
    fn a_file_that_was_renamed_is_followed_by_a_new_one() {
        let directory = TempDir::new().expect("a directory");
        let [path, rotated] = ["log", "log.1"].map(|name| directory.path().join(name));
        let mut log = LogFile::new(&path);
        log.append(b"one\n").expect("written");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        fs::rename(&path, &rotated).expect("renamed");
        log.append(b"two\n").expect("written");
        let open = log.open.as_mut().expect("it is open");
        open.seen = open.seen.checked_sub(ATTENTION).expect("a moment ago");
        log.append(b"three\n").expect("written");
        let read = |path| fs::read_to_string(path).expect("text");
        assert_eq!((read(&rotated), read(&path)), ("one\ntwo\n".into(), "three\n".into()));
    }

    #[test]
    fn what_is_no_file_is_refused_and_a_torn_line_ended() {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("log");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
        let mut log = LogFile::new(&path);
        log.append(b"one\n").expect_err("nobody reads the pipe");
        fs::remove_file(&path).expect("removed");
        log.append(b"two\n{").expect("written");
        let mut log = LogFile::new(&path);
        log.append(b"three\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("text"), "two\n{\nthree\n");
    }
}
