use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    checksum: Option<String>,
    /// `name`, or `name version` where the lock file holds several versions of it.
    #[serde(default)]
    dependencies: Vec<String>,
}

impl Package {
    /// Members of the workspace have no checksum.
    fn pinned(&self) -> Option<String> {
        let checksum = self.checksum.as_deref()?;
        Some(format!("{} {} {checksum}", self.name, self.version))
    }
}

/// Returns `name version checksum` of each registry crate that the package `of` is built from, by
/// the text of a `Cargo.lock`.
///
/// Members of the workspace are not followed: the lock file lists their test dependencies too,
/// and those do not reach the object.
pub(crate) fn registry_crates(lock: &str, of: &str) -> Result<BTreeSet<String>> {
    let lock: Lock = toml::from_str(lock).context("Cargo.lock is not a lock file")?;
    let packages = by_reference(&lock.package);
    let Some(start) = packages.get(of) else {
        bail!("Cargo.lock does not hold {of}");
    };

    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = start.dependencies.iter().map(String::as_str).collect();
    while let Some(reference) = open.pop() {
        let package = packages
            .get(reference)
            .with_context(|| format!("Cargo.lock does not hold {reference}"))?;
        let Some(pinned) = package.pinned() else {
            continue;
        };
        if found.insert(pinned) {
            open.extend(package.dependencies.iter().map(String::as_str));
        }
    }
    Ok(found)
}

/// Returns packages by both forms in which a lock file refers to them.
fn by_reference(packages: &[Package]) -> HashMap<String, &Package> {
    packages
        .iter()
        .flat_map(|package| {
            let versioned = format!("{} {}", package.name, package.version);
            [(package.name.clone(), package), (versioned, package)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::registry_crates;

    const LOCK: &str = r#"
        version = 4
        [[package]]
        name = "program"
        version = "0.1.0"
        dependencies = ["common", "maps", "twice 2.0.0"]
        [[package]]
        name = "common"
        version = "0.1.0"
        dependencies = ["for-tests"]
        [[package]]
        name = "maps"
        version = "1.2.3"
        checksum = "aa"
        dependencies = ["twice 1.0.0", "maps-macros"]
        [[package]]
        name = "maps-macros"
        version = "1.0.0"
        checksum = "bb"
        dependencies = ["maps"]
        [[package]]
        name = "twice"
        version = "1.0.0"
        checksum = "cc"
        [[package]]
        name = "twice"
        version = "2.0.0"
        checksum = "dd"
        [[package]]
        name = "for-tests"
        version = "1.0.0"
        checksum = "ee"
    "#;

    #[test]
    fn crates_are_followed_through_the_registry_but_not_through_members() {
        let crates = registry_crates(LOCK, "program").unwrap();
        let expected =
            ["maps 1.2.3 aa", "maps-macros 1.0.0 bb", "twice 1.0.0 cc", "twice 2.0.0 dd"];
        assert!(crates.iter().eq(&expected), "{crates:?}");
    }

    #[test]
    fn an_unknown_package_is_named() {
        let error = registry_crates(LOCK, "absent").unwrap_err();
        assert_eq!(error.to_string(), "Cargo.lock does not hold absent");
    }
}
