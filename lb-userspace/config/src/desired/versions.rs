//! Versions of the document, in memory and in the journal.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Weak},
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use lb_model::views::Step;

use super::{
    Difference, Document, Losses,
    journal::{self, Entry, Found, Journal, JournalSize},
    steps,
    writer::{Lengths, Writer, Written},
};

/// Number of versions that can be rolled back to.
const KEPT: usize = 200;

/// Number of versions that a new one is compared with, to share equal services.
const COMPARED: usize = 8;

/// A journal is rewritten if it is longer than this, in bytes, and than `LONG_RATIO` times its
/// shortest form.
const LONG: u64 = 16 << 20;
const LONG_RATIO: u64 = 4;

/// Author and description of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    pub by: String,
    pub what: String,
    /// Digest of the services in the daemon's own file if the document was read from that;
    /// otherwise that of the version before.
    pub file: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Version {
    pub number: u64,
    pub at: Timestamp,
    pub author: Author,
    pub document: Document,
}

/// The current document and its history.
#[derive(Debug)]
pub struct Desired {
    journal: Writer,
    /// The current one last.
    versions: VecDeque<Version>,
    losses: Losses,
    /// Last version that is known to have been in force.
    in_force: u64,
    /// Last version whose record was found damaged.
    damaged: u64,
    /// Alive while a recording is open.
    open: Weak<()>,
}

impl Desired {
    /// Opens a directory's journal, which should reach this version; 0 if none is known to have
    /// been in force. No other process may have it open.
    pub fn open(directory: &Path, in_force: u64) -> Result<Self> {
        let (journal, entries, found) = Journal::open(directory, in_force)?;
        let mut versions: VecDeque<Version> = VecDeque::new();
        for entry in entries {
            let base = match versions.back() {
                Some(last) if !entry.whole => last.document.clone(),
                _ => Document::default(),
            };
            let Entry { version: number, at, by, what, file, mut set, removed, .. } = entry;
            for service in &mut set {
                Arc::make_mut(service).normalize();
            }
            let document = base.after(&Difference { set, removed });
            let author = Author { by, what, file };
            versions.push_back(Version { number, at, author, document });
        }
        let journal = Writer::start(journal).context("cannot start the journal's thread")?;
        let known = versions.back().map_or(0, |last| last.number).max(in_force);
        let damaged = journal::last_damaged(directory, known)?;
        let (losses, open) = (Losses::of(directory), Weak::new());
        let mut desired = Self { journal, versions, losses, in_force, damaged, open };
        desired.tell_lost(found);
        desired.forget();
        Ok(desired)
    }

    /// Returns the current document. None if there never was one.
    #[must_use]
    pub fn document(&self) -> Option<&Document> {
        self.versions.back().map(|version| &version.document)
    }

    /// Returns the number of the current version; 0 if there is none.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.versions.back().map_or(0, |version| version.number)
    }

    /// Returns the highest number that a version ever had, also if the journal has lost it.
    #[must_use]
    pub fn last_number(&self) -> u64 {
        self.number().max(self.in_force).max(self.damaged)
    }

    /// Returns the number of the version that the daemon's state is of. None while a recording is
    /// open: the state may be undone, and another one get the number.
    #[must_use]
    pub fn settled_number(&self) -> Option<u64> {
        (self.open.strong_count() == 0).then(|| self.number())
    }

    /// Returns the digest of the daemon's own file when it was last read.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.versions.back().and_then(|version| version.author.file.as_deref())
    }

    /// Logs a loss, and keeps its description until the operator removes it.
    fn tell_lost(&mut self, found: Found) {
        let path = journal::lost_file(&self.losses.directory, self.in_force);
        let Some(loss) = self.loss(found) else { return };
        let message = format!("{loss}, and remove {}", path.display());
        log::error!("{message}");
        if let Err(error) = journal::tell_lost(&path, &message) {
            log::error!("{error:#}");
            self.losses.untold = Some(message.into());
        }
    }

    /// Describes the loss if the journal does not reach the version that was in force, unless the
    /// file of a damaged record tells it.
    fn loss(&self, found: Found) -> Option<String> {
        let (number, in_force) = (self.number(), self.in_force);
        if found == Found::Records && self.damaged >= in_force {
            return None;
        }
        let journal = format!("the journal in {}", self.losses.directory.display());
        let fault = match found {
            Found::Records if in_force <= number => return None,
            Found::Records if number > 0 => {
                return Some(format!(
                    "version {in_force} was in force, and {journal} ends with version {number}: \
                     what the later ones changed is lost; look at `xdplb history`, and make the \
                     changes again"
                ));
            }
            Found::Missing if in_force == 0 => return None,
            Found::Missing => "is missing",
            Found::Empty | Found::Records => "is empty",
        };
        let fault = match in_force {
            0 => format!("{journal} {fault}"),
            _ => format!("version {in_force} was in force, and {journal} {fault}"),
        };
        Some(format!(
            "{fault}: changes made by commands are lost; the services are those of the \
             configuration file; make the changes again"
        ))
    }

    /// Returns where losses of the journal are told, for any thread.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.losses.clone()
    }

    /// Returns the size of the journal's file.
    #[must_use]
    pub fn journal_size(&self) -> JournalSize {
        self.journal.size()
    }

    /// Returns the versions, oldest first.
    #[must_use]
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &Version> {
        self.versions.iter()
    }

    #[must_use]
    pub fn version(&self, number: u64) -> Option<&Version> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// Returns the changes of a version. None if it or the version before is not kept.
    #[must_use]
    pub fn steps_of(&self, number: u64) -> Option<Vec<Step>> {
        let place = self.versions.iter().position(|version| version.number == number)?;
        let document = &self.versions[place].document;
        if number == 1 {
            return Some(steps(&Document::default(), document));
        }
        let former = &self.versions[place.checked_sub(1)?];
        Some(steps(&former.document, document))
    }

    /// Returns the version before the current one.
    #[must_use]
    pub fn former(&self) -> Option<&Version> {
        self.versions.iter().nth_back(1)
    }

    /// Returns the same document, sharing equal services with the latest versions: files are read
    /// again and again, and differ little.
    #[must_use]
    pub fn shared(&self, document: Document) -> Document {
        let latest = self.versions.iter().rev().take(COMPARED);
        latest.fold(document, |document, version| document.sharing(&version.document))
    }

    /// Makes this the current document, durable once this returns. On an error, nothing has
    /// changed.
    pub async fn record(&mut self, document: Document, author: Author) -> Result<()> {
        let mut recording = self.begin(document, author)?;
        let kept = recording.kept().await?;
        self.finish(recording, kept);
        Ok(())
    }

    /// Starts recording a document; only one recording may be in progress.
    pub fn begin(&mut self, document: Document, mut author: Author) -> Result<Recording> {
        author.file = author.file.or_else(|| self.file().map(ToOwned::to_owned));
        // Never reuses the number of a lost version: clients may still know that by it.
        let number = self.last_number().checked_add(1);
        let number = number.context("there is no number for another version")?;
        let version = Version { number, at: Timestamp::now(), author, document };
        let written = self.journal.append(version.entry(self.document()))?;
        let open = Arc::new(());
        self.open = Arc::downgrade(&open);
        Ok(Recording { version, written, _open: open })
    }

    /// Makes a recorded document the current one.
    pub fn finish(&mut self, Recording { version, .. }: Recording, Kept(lengths): Kept) {
        self.versions.push_back(version);
        self.forget();
        if lengths.now > LONG.max(lengths.shortest * LONG_RATIO) {
            self.shorten();
        }
    }

    fn forget(&mut self) {
        let excess = self.versions.len().saturating_sub(KEPT);
        self.versions.drain(..excess);
    }

    /// Rewrites the journal without the versions that are no longer kept.
    fn shorten(&self) {
        let mut entries = Vec::new();
        let mut former = None;
        for version in &self.versions {
            entries.push(version.entry(former));
            former = Some(&version.document);
        }
        if let Err(error) = self.journal.rewrite(entries) {
            log::warn!("{error:#}");
        }
    }
}

/// A version that is being written to disk.
#[derive(Debug)]
pub struct Recording {
    version: Version,
    written: Written,
    _open: Arc<()>,
}

/// Proof that a version is on disk.
pub struct Kept(Lengths);

impl Recording {
    /// Waits until the version is on disk; on an error it is not. Cancel safe.
    pub async fn kept(&mut self) -> Result<Kept> {
        let written = (&mut self.written).await.context("the journal's thread has ended")?;
        Ok(Kept(written?))
    }
}

impl Version {
    fn entry(&self, former: Option<&Document>) -> Entry {
        let Difference { set, removed } =
            self.document.since(former.unwrap_or(&Document::default()));
        let Author { by, what, file } = self.author.clone();
        let whole = former.is_none();
        Entry {
            version: self.number,
            after: None,
            at: self.at,
            by,
            what,
            file,
            whole,
            set,
            removed,
        }
    }
}
