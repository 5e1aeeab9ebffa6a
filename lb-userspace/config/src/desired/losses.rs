//! What a journal has lost, as files in its directory tell it until the operator removes them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;

use super::journal;

/// Where losses are told. Clones share it.
#[derive(Clone, Debug)]
pub struct Losses {
    pub(super) directory: Arc<Path>,
    /// A loss that could not be written to a file.
    pub(super) untold: Option<Arc<str>>,
}

impl Losses {
    pub(super) fn of(directory: &Path) -> Self {
        Self { directory: directory.into(), untold: None }
    }

    /// Reads the warnings for the operator from the disk.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let failed = |error| vec![format!("{error:#}")];
        let lost = journal::lost(&self.directory).unwrap_or_else(failed);
        let damaged = journal::damaged(&self.directory);
        let damaged = damaged.map(|paths| paths.iter().map(|path| holds_damaged(path)).collect());
        let damaged = damaged.unwrap_or_else(failed);
        self.untold.iter().map(ToString::to_string).chain(lost).chain(damaged).collect()
    }
}

/// Returns the files that tell of losses.
pub fn loss_files(directory: &Path) -> Result<Vec<PathBuf>> {
    Ok([journal::lost_files(directory)?, journal::damaged(directory)?].concat())
}

fn holds_damaged(path: &Path) -> String {
    format!(
        "{} holds a damaged record of the journal, whose change is lost: look at `xdplb history`, \
         make the change again, and remove the file",
        path.display()
    )
}
