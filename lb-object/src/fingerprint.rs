use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::{lock, read};

/// Source files and directories of the objects, under the workspace's root. Of `Cargo.lock`, only
/// the crates of `lb-ebpf` count.
pub(crate) const SOURCES: [&str; 5] =
    ["Cargo.lock", "lb-common/Cargo.toml", "lb-common/src", "lb-ebpf/Cargo.toml", "lb-ebpf/src"];

/// Returns the fingerprint of the sources under the workspace's root.
pub(crate) fn of_sources(root: &Path) -> Result<String> {
    let mut entries = BTreeMap::new();
    for source in SOURCES {
        for path in files(&root.join(source))? {
            let content =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            entries.insert(name, content);
        }
    }
    let crates = lock::registry_crates(&read(&root.join("Cargo.lock"))?, "lb-ebpf")?;
    let crates = crates.into_iter().collect::<Vec<_>>().join("\n");
    entries.insert("Cargo.lock".to_owned(), crates.into_bytes());
    Ok(of_entries(&entries))
}

/// Returns the SHA-256 in hexadecimal over names and contents, in the names' order. Each is
/// preceded by its length, so that no byte can move from one to the next unnoticed.
fn of_entries(entries: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    for (name, content) in entries {
        for part in [name.as_bytes(), content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes any text");
        hex
    })
}

/// Returns the file itself, or every file below the directory.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    for entry in entries {
        found.extend(files(&entry?.path())?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, Path, of_entries, of_sources};

    fn of(entries: &[(&str, &str)]) -> String {
        let entries: BTreeMap<_, _> = entries
            .iter()
            .map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec()))
            .collect();
        of_entries(&entries)
    }

    #[test]
    fn no_sources_hash_to_the_empty_sha256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of(&[]), empty);
    }

    #[test]
    fn order_does_not_matter_but_names_contents_and_their_borders_do() {
        let reference = of(&[("a", "1"), ("b", "2")]);
        assert_eq!(of(&[("b", "2"), ("a", "1")]), reference);
        assert_ne!(of(&[("a", "1"), ("c", "2")]), reference);
        assert_ne!(of(&[("a", "1"), ("b", "3")]), reference);
        assert_ne!(of(&[("a", "1b"), ("", "2")]), reference);
    }

    #[test]
    fn the_workspace_itself_has_a_fingerprint() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(of_sources(root).unwrap().len(), 64);
    }
}
