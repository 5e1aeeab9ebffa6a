//! The journal: an append-only file with one version per line, synced before a change is
//! acknowledged. Each line names its version and the checksum of the line before. A line cut off by
//! a crash is the last one and was never acknowledged, unless the daemon knows that its version was
//! in force. The file is created with its first record. Files of older versions of xdplb, whose
//! lines have no checksum of the line before, are read as well.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use lb_model::Service;
use serde::{Deserialize, Serialize};

use lb_host::private;

const NAME: &str = "journal";
const NEW: &str = "journal.new";

/// Hexadecimal digits of a checksum.
const SUM: usize = 8;

/// Prefix of the file that keeps a damaged last record; the version follows.
const DAMAGED: &str = "journal.damaged";

/// Prefix of the file that describes lost versions; the last of them follows.
const LOST: &str = "journal.lost";

/// Maximum number of versions by which a damaged record may be ahead of those that are known. More is
/// damage of the number itself.
const MOST_AHEAD: u64 = 1 << 20;

/// Advice for a journal that cannot be read.
const FIX: &str = "to start from the configuration file alone, move the journal away";

/// A version, stored as its changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) version: u64,
    /// Checksum of the line before. None in the first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<String>,
    pub(super) at: Timestamp,
    pub(super) by: String,
    pub(super) what: String,
    /// Digest of the daemon's own file when it was last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// True if `set` is the whole document.
    #[serde(default)]
    pub(super) whole: bool,
    pub(super) set: Vec<Arc<Service>>,
    pub(super) removed: Vec<String>,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// None before the first record: the file is created with it.
    file: Option<File>,
    size: JournalSize,
    /// Checksum of the last line.
    last: Option<String>,
    /// True if bytes after the last complete record could not be truncated.
    is_torn: bool,
    /// True if the directory may still name a former file after a power loss.
    is_dir_unsynced: bool,
    /// Lock on the directory.
    lock: File,
}

/// Size of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalSize {
    pub bytes: u64,
    pub records: u64,
}

/// Parsed contents of a journal file.
struct Content {
    entries: Vec<Entry>,
    /// Length of the entries in bytes.
    length: usize,
    last: Option<String>,
    /// Set if the last line is complete except for its newline.
    is_unended: bool,
    tail: Tail,
}

/// State in which a directory's journal was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Missing,
    /// Without a record. The daemon never leaves such a file.
    Empty,
    Records,
}

/// Content after the last complete record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Nothing,
    /// The beginning of a record, which was never acknowledged.
    Torn,
    /// A damaged record, or something that never was a record.
    Damaged,
}

impl Journal {
    /// Opens and reads a directory's journal, which no other process may have open. A truncated
    /// last record is kept in a file of its own if this version, or one before it, was in force.
    pub(super) fn open(directory: &Path, in_force: u64) -> Result<(Self, Vec<Entry>, Found)> {
        let cannot = |what: &str| format!("cannot {what} in {}", directory.display());
        private::directory(directory)
            .context("set `state_dir` to a directory of the daemon's own")?;
        let lock = lock(directory)?;
        let path = directory.join(NAME);
        let mut file = match private::options().read(true).write(true).open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| cannot("open the journal")),
        };
        let mut bytes = Vec::new();
        if let Some(file) = &mut file {
            file.read_to_end(&mut bytes).with_context(|| cannot("read the journal"))?;
        }
        let Content { entries, length, last, is_unended, tail } = read(&bytes, &path)?;
        let last_version = entries.last().map_or(0, |last| last.version);
        let version = version_of(&bytes[length..], last_version, in_force);
        match tail {
            Tail::Torn if version.unwrap_or(last_version + 1) > in_force => {
                log::warn!("{}: the last record was cut off, and is dropped", path.display());
            }
            Tail::Torn | Tail::Damaged => {
                // It may be of a later version than the last one that is known.
                let version = version.unwrap_or(last_version.max(in_force) + 1);
                set_aside(directory, version, last_version, &bytes[length..])?;
            }
            Tail::Nothing => {}
        }
        let found = match &file {
            None => Found::Missing,
            Some(_) if bytes.trim_ascii().is_empty() => Found::Empty,
            Some(_) => Found::Records,
        };
        let is_torn = true;
        // A former daemon may have failed to sync it.
        let is_dir_unsynced = file.is_some();
        let size = JournalSize { bytes: length as u64, records: entries.len() as u64 };
        let mut journal = Self { path, file, size, last, is_torn, is_dir_unsynced, lock };
        journal.cut()?;
        if is_unended {
            journal.end_line()?;
        }
        Ok((journal, entries, found))
    }

    /// Appends an entry and syncs it to disk. On an error, nothing is appended.
    pub(super) fn append(&mut self, entry: Entry) -> Result<()> {
        if self.is_torn {
            self.cut()?;
        }
        if self.is_dir_unsynced {
            let cannot = || format!("cannot sync the directory of {}", self.path.display());
            self.lock.sync_all().with_context(cannot)?;
            self.is_dir_unsynced = false;
        }
        let Some(file) = &mut self.file else { return self.begin(entry) };
        let (line, sum) = line(entry, self.last.as_deref())?;
        let written = file.write_all(&line).and_then(|()| file.sync_data());
        if let Err(error) = written {
            self.is_torn = true;
            if let Err(error) = self.cut() {
                log::error!("{error:#}, which is tried again before the next change");
            }
            return Err(error).with_context(|| format!("cannot write {}", self.path.display()));
        }
        self.size.bytes += line.len() as u64;
        self.size.records += 1;
        self.last = Some(sum);
        Ok(())
    }

    /// Creates the file with its first record. On an error, there is no file.
    fn begin(&mut self, entry: Entry) -> Result<()> {
        let begun = self.rewrite(vec![entry]);
        if begun.is_err() && self.file.take().is_some() {
            (self.size, self.last) = (JournalSize::default(), None);
            if let Err(error) = fs::remove_file(&self.path) {
                log::error!("cannot remove {}: {error}", self.path.display());
            }
        }
        begun
    }

    pub(super) fn size(&self) -> JournalSize {
        self.size
    }

    /// Replaces the whole file. On an error, the old file stays, or either may be found after a crash.
    pub(super) fn rewrite(&mut self, entries: Vec<Entry>) -> Result<()> {
        let new = self.path.with_file_name(NEW);
        let cannot = || format!("cannot write {}", new.display());
        let mut file = private::create(&new).with_context(cannot)?;
        let (mut size, mut last) = (JournalSize::default(), None);
        for entry in entries {
            let (line, sum) = line(entry, last.as_deref())?;
            file.write_all(&line).with_context(cannot)?;
            size.bytes += line.len() as u64;
            size.records += 1;
            last = Some(sum);
        }
        file.sync_data().with_context(cannot)?;
        fs::rename(&new, &self.path).with_context(cannot)?;
        // From here on the former file is nowhere, whether or not the directory is on the disk.
        (self.file, self.size, self.last, self.is_torn) = (Some(file), size, last, false);
        self.is_dir_unsynced = true;
        self.lock.sync_all().with_context(cannot)?;
        self.is_dir_unsynced = false;
        Ok(())
    }

    /// Truncates the file after the last complete record.
    fn cut(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else {
            self.is_torn = false;
            return Ok(());
        };
        let cannot = || format!("cannot repair {}", self.path.display());
        file.set_len(self.size.bytes).with_context(cannot)?;
        file.seek(SeekFrom::Start(self.size.bytes)).with_context(cannot)?;
        self.is_torn = false;
        Ok(())
    }

    /// Adds the missing newline to the last line.
    fn end_line(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(b"\n")
            .and_then(|()| file.sync_data())
            .with_context(|| format!("cannot repair {}", self.path.display()))?;
        self.size.bytes += 1;
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

/// Returns the paths of a directory's files of damaged records.
pub(super) fn damaged(directory: &Path) -> Result<Vec<PathBuf>> {
    files(directory, DAMAGED)
}

fn files(directory: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot look for {prefix}.* in {}", directory.display());
    let entries: io::Result<Vec<_>> = fs::read_dir(directory).and_then(Iterator::collect);
    let entries = entries.with_context(cannot)?.into_iter();
    let names = entries.filter(|one| one.file_name().to_string_lossy().starts_with(prefix));
    let mut paths: Vec<_> = names.map(|one| one.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Returns the highest version among a directory's damaged records, given the highest one that is
/// known otherwise; 0 if there are none. Names far beyond that are not the daemon's.
pub(super) fn last_damaged(directory: &Path, known: u64) -> Result<u64> {
    let version = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        let (version, _) = name.strip_prefix(DAMAGED)?.strip_prefix('.')?.split_once('.')?;
        version.parse().ok()
    };
    let versions = damaged(directory)?.iter().filter_map(version).collect::<Vec<u64>>();
    let likely =
        versions.into_iter().filter(|version| *version <= known.saturating_add(MOST_AHEAD));
    Ok(likely.max().unwrap_or_default())
}

/// Returns the path of the file that describes the loss of versions up to this one.
pub(super) fn lost_file(directory: &Path, version: u64) -> PathBuf {
    directory.join(format!("{LOST}.{version}"))
}

/// Writes the description of a loss, which is a warning until the file is removed.
pub(super) fn tell_lost(path: &Path, message: &str) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut file = private::create(path).with_context(cannot)?;
    file.write_all(message.as_bytes()).and_then(|()| file.sync_all()).with_context(cannot)
}

pub(super) fn lost_files(directory: &Path) -> Result<Vec<PathBuf>> {
    files(directory, LOST)
}

/// Returns the descriptions of losses in a directory.
pub(super) fn lost(directory: &Path) -> Result<Vec<String>> {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    lost_files(directory)?.into_iter().map(read).collect()
}

/// Returns the version in a damaged record, if it can be read and may be true.
fn version_of(record: &[u8], last: u64, in_force: u64) -> Option<u64> {
    let json = record.get(SUM + 1..)?;
    let digits = json.strip_prefix(b"{\"version\":")?;
    let end = digits.iter().position(|byte| *byte == b',')?;
    let version = std::str::from_utf8(&digits[..end]).ok()?.parse().ok()?;
    let most = last.max(in_force).saturating_add(MOST_AHEAD);
    (last < version && version <= most).then_some(version)
}

/// Saves the bytes of a damaged record of this version, after the last one, to a file of their own.
fn set_aside(directory: &Path, version: u64, last: u64, bytes: &[u8]) -> Result<()> {
    let mut nth = 0;
    let (path, mut file) = loop {
        nth += 1;
        let path = directory.join(format!("{DAMAGED}.{version}.{nth}"));
        match private::options().write(true).create_new(true).open(&path) {
            Ok(file) => break (path, file),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot write {}", path.display()));
            }
        }
    };
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(directory)?.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))?;
    log::error!(
        "the last record of the journal in {}, of version {version}, is damaged: what it changed is \
         lost, and {} is in force; its bytes are kept in {}",
        directory.display(),
        if last > 0 { format!("version {last}") } else { "no version".to_owned() },
        path.display()
    );
    Ok(())
}

/// Encodes an entry as a line: checksum (CRC-32) in hexadecimal, a space, JSON. Returns the line
/// and the checksum.
fn line(entry: Entry, after: Option<&str>) -> Result<(Vec<u8>, String)> {
    let json = serde_json::to_string(&Entry { after: after.map(ToOwned::to_owned), ..entry })?;
    let sum = format!("{:08x}", crc32fast::hash(json.as_bytes()));
    Ok((format!("{sum} {json}\n").into_bytes(), sum))
}

/// Reads the complete records. Only the last record may be incomplete.
fn read(bytes: &[u8], path: &Path) -> Result<Content> {
    let (mut entries, mut last) = (Vec::new(), None);
    let mut length = 0;
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    let mut is_unended = false;
    while let Some((nth, line)) = lines.next() {
        // A blank last line may come from an editor.
        if line.trim_ascii().is_empty() && lines.peek().is_none() {
            break;
        }
        let place = format!("{}:{}", path.display(), nth + 1);
        let Some((sum, json)) = whole(line) else {
            let tail = if is_torn(line) { Tail::Torn } else { Tail::Damaged };
            if lines.peek().is_some() {
                bail!("{place}: this record is damaged, and others follow: {FIX}");
            }
            if tail == Tail::Damaged && entries.is_empty() {
                bail!("{place}: this record is damaged, and it is the only one: {FIX}");
            }
            return Ok(Content { entries, length, last, is_unended, tail });
        };
        let entry = serde_json::from_str(json).with_context(|| {
            format!("{place}: this record is of another version of xdplb: start that, or {FIX}")
        })?;
        if let Some(fault) = fault(entries.last(), last.as_deref(), &entry) {
            bail!("{place}: {fault}: {FIX}");
        }
        entries.push(entry);
        last = Some(sum.to_owned());
        length += line.len();
        is_unended = !line.ends_with(b"\n");
    }
    Ok(Content { entries, length, last, is_unended, tail: Tail::Nothing })
}

/// Returns the reason that a record cannot follow the one before, if any.
fn fault(former: Option<&Entry>, sum: Option<&str>, entry: &Entry) -> Option<String> {
    let version = entry.version;
    let Some(former) = former else {
        let is_first = entry.whole && entry.after.is_none();
        return (!is_first).then(|| {
            format!("this record is of version {version}, and those before it are missing")
        });
    };
    let expected = former.version + 1;
    if version < expected {
        return Some(format!(
            "this record is of version {version}, which was there before: it is repeated, or not in \
             its place"
        ));
    }
    let follows = entry.after.is_some() && entry.after.as_deref() == sum;
    // Numbers of lost versions are left out, which the checksum of the line before proves.
    if version > expected && !follows {
        return Some(format!(
            "this record is of version {version}, and that of version {expected} is missing"
        ));
    }
    // Older versions of xdplb write no checksum of the line before.
    let is_next = entry.after.is_none() || follows;
    (!is_next).then(|| {
        format!("this record of version {version} was not written after the one before it")
    })
}

/// Splits a line whose checksum matches into checksum and JSON. The newline may be missing.
fn whole(line: &[u8]) -> Option<(&str, &str)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let (sum, json) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    is_sum_of(sum.as_bytes(), json.as_bytes()).then_some((sum, json))
}

fn is_sum_of(sum: &[u8], json: &[u8]) -> bool {
    sum == format!("{:08x}", crc32fast::hash(json)).as_bytes()
}

/// Returns true if a last line is the beginning of a record, followed at most by zeros of blocks
/// that were never written.
fn is_torn(line: &[u8]) -> bool {
    if line.ends_with(b"\n") {
        return false;
    }
    let written = line.len() - line.iter().rev().take_while(|byte| **byte == 0).count();
    let (sum, rest) = line[..written].split_at(written.min(SUM));
    if !sum.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    let Some((blank, json)) = rest.split_first() else { return true };
    let is_beginning = || {
        let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(json);
        parsed.is_err_and(|error| error.is_eof())
    };
    *blank == b' ' && (is_sum_of(sum, json) || is_beginning())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn entry(version: u64) -> Entry {
        let (by, what) = ("test".to_owned(), format!("change {version}"));
        let (after, file, set, removed) = Default::default();
        Entry { version, after, at: Timestamp::now(), by, what, file, whole: true, set, removed }
    }

    fn opened(directory: &TempDir) -> (Journal, Vec<u64>) {
        let (journal, entries, _) = Journal::open(directory.path(), 0).expect("opens");
        (journal, entries.into_iter().map(|entry| entry.version).collect())
    }

    /// A directory that cannot be synced.
    fn unsyncable() -> File {
        File::open("/dev/null").expect("opens")
    }

    #[test]
    fn a_record_follows_one_that_failed_and_could_not_be_taken_away() {
        let directory = TempDir::new().expect("a directory");
        let (mut journal, _) = opened(&directory);
        journal.append(entry(1)).expect("appended");
        // Neither written nor cut.
        let read_only = File::open(&journal.path).expect("opens");
        let mut writable = journal.file.replace(read_only).expect("there is one");
        assert!(journal.append(entry(2)).is_err());
        assert!(journal.append(entry(2)).is_err(), "not before what is torn has been taken away");
        writable.write_all(b"{\"version\": 2, \"by\"").expect("as if half of it had been written");
        journal.file = Some(writable);
        journal.append(entry(2)).expect("appended");
        drop(journal);
        assert_eq!(opened(&directory).1, [1, 2]);
    }

    #[test]
    fn records_go_to_the_file_that_is_there_once_its_directory_is_synced() {
        let directory = TempDir::new().expect("a directory");
        let (mut journal, _) = opened(&directory);
        journal.append(entry(1)).expect("appended");
        let lock = std::mem::replace(&mut journal.lock, unsyncable());
        assert!(journal.rewrite(vec![entry(1)]).is_err());
        assert!(journal.append(entry(2)).is_err(), "its directory may name the former file");
        journal.lock = lock;
        journal.append(entry(2)).expect("appended");
        drop(journal);
        assert_eq!(opened(&directory).1, [1, 2]);
    }

    #[test]
    fn a_first_record_that_failed_can_be_made_once_more() {
        let directory = TempDir::new().expect("a directory");
        let (mut journal, _) = opened(&directory);
        let lock = std::mem::replace(&mut journal.lock, unsyncable());
        assert!(journal.append(entry(1)).is_err());
        assert!(!journal.path.exists());
        journal.lock = lock;
        journal.append(entry(1)).expect("appended");
        journal.append(entry(2)).expect("appended");
        drop(journal);
        assert_eq!(opened(&directory).1, [1, 2]);
    }
}
