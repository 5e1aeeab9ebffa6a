//! The journal: a file of lines, each with one version, that is only ever appended to, and synced
//! before anybody is told that a change is done. A line that was cut off by a crash is the last one,
//! and was never promised to anybody.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{model::Service, private};

const NAME: &str = "journal";
const NEW: &str = "journal.new";

/// What can be done about a journal that cannot be read.
const MEND: &str = "to start from the configuration file alone, move the journal away";

/// A version, as what it changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) version: u64,
    pub(super) at: Timestamp,
    pub(super) by: String,
    pub(super) what: String,
    /// The digest of the daemon's own file when that was last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// Whether `set` is all there is.
    #[serde(default)]
    pub(super) whole: bool,
    pub(super) set: Vec<Arc<Service>>,
    pub(super) removed: Vec<String>,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// In bytes.
    length: u64,
    /// The directory, locked.
    lock: File,
}

impl Journal {
    /// Opens the journal of a directory, which nobody else may have open, and reads it.
    pub(super) fn open(directory: &Path) -> Result<(Self, Vec<Entry>)> {
        let cannot = |what: &str| format!("cannot {what} in {}", directory.display());
        private::directory(directory)
            .context("set `state_dir` to a directory of the daemon's own")?;
        let lock = lock(directory)?;
        let path = directory.join(NAME);
        let mut file = private::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| cannot("open the journal"))?;
        // A new file's name outlives a crash only with its directory.
        lock.sync_all().with_context(|| cannot("keep the journal"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(|| cannot("read the journal"))?;
        let (entries, length) = read(&bytes, &path)?;
        if length < bytes.len() {
            log::warn!("{}: the last record was cut off, and is dropped", path.display());
        }
        let mut journal = Self { path, file, length: length as u64, lock };
        journal.cut()?;
        // Or a new file's name might not outlive the machine.
        journal.lock.sync_all().with_context(|| cannot("keep the journal"))?;
        Ok((journal, entries))
    }

    /// Appends an entry and waits until it is on the disk. If that fails, nothing is appended.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<()> {
        let line = line(entry)?;
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.cut()?;
            return Err(error).with_context(|| format!("cannot write {}", self.path.display()));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// In bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Replaces the whole file, or leaves it as it was.
    pub(super) fn rewrite(&mut self, entries: &[Entry]) -> Result<()> {
        let new = self.path.with_file_name(NEW);
        let cannot = || format!("cannot write {}", new.display());
        let mut file = private::create(&new).with_context(cannot)?;
        let mut length = 0;
        for entry in entries {
            let line = line(entry)?;
            file.write_all(&line).with_context(cannot)?;
            length += line.len() as u64;
        }
        file.sync_data().with_context(cannot)?;
        fs::rename(&new, &self.path).with_context(cannot)?;
        self.lock.sync_all().with_context(cannot)?;
        (self.file, self.length) = (file, length);
        Ok(())
    }

    /// Takes away what stands behind the last whole record.
    fn cut(&mut self) -> Result<()> {
        let cannot = || format!("cannot repair {}", self.path.display());
        self.file.set_len(self.length).with_context(cannot)?;
        self.file.seek(SeekFrom::Start(self.length)).with_context(cannot)?;
        Ok(())
    }
}

fn lock(directory: &Path) -> Result<File> {
    let file = File::open(directory)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => bail!(
            "another daemon keeps its state in {}: stop it, or set `state_dir` to another directory",
            directory.display()
        ),
        Err(fs::TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(file),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", directory.display()))
        }
    }
}

/// A checksum (CRC-32), a blank, and the entry in JSON.
fn line(entry: &Entry) -> Result<Vec<u8>> {
    let json = serde_json::to_string(entry)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
}

/// The entries, and how many bytes they are. What follows is a record that was cut off.
fn read(bytes: &[u8], path: &Path) -> Result<(Vec<Entry>, usize)> {
    let mut entries = Vec::new();
    let mut length = 0;
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for (nth, line) in lines.iter().enumerate() {
        let place = || format!("{}:{}", path.display(), nth + 1);
        let Some(json) = whole(line) else {
            if nth + 1 == lines.len() {
                break;
            }
            bail!("{}: this record is damaged, and others follow: {MEND}", place());
        };
        let entry = serde_json::from_str(json).with_context(|| {
            format!(
                "{}: this record is of another version of xdplb: start that, or {MEND}",
                place()
            )
        })?;
        entries.push(entry);
        length += line.len();
    }
    Ok((entries, length))
}

/// The JSON of a line that is as it was written.
fn whole(line: &[u8]) -> Option<&str> {
    let (sum, json) = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    (sum == crc32fast::hash(json.as_bytes())).then_some(json)
}
