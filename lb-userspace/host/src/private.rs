//! Files and directories that only the daemon's own user may access: they hold data that checks
//! send, such as passwords.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;

const DIRECTORY: u32 = 0o700;
const FILE: u32 = 0o600;

/// Permission bits of everybody except the owner.
const OTHERS: u32 = 0o077;

/// Prefixes of the daemon's files.
const OWN: [&str; 2] = ["journal", "backends.json"];

/// Creates a directory for the daemon's files, or removes everybody else's access to an existing
/// one.
pub fn directory(path: &Path) -> Result<()> {
    if is_made(path)? {
        return Ok(());
    }
    let cannot = || format!("cannot access {}", path.display());
    let found = fs::metadata(path).with_context(cannot)?;
    let owner = found.uid();
    ensure!(found.is_dir(), "{} is not a directory", path.display());
    ensure!(
        owner == geteuid().as_raw() || owner == 0,
        "{} belongs to another user (uid {owner}), who could change its contents: make the \
         daemon's user its owner",
        path.display()
    );
    for entry in fs::read_dir(path).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let name = entry.file_name();
        let is_own = OWN.iter().any(|own| name.as_encoded_bytes().starts_with(own.as_bytes()));
        ensure!(
            is_own || found.mode() & OTHERS == 0,
            "{} contains files of other users, such as {}, and cannot be made private",
            path.display(),
            name.display()
        );
        if is_own && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            take_from_others(&entry.path(), FILE)?;
        }
    }
    take_from_others(path, DIRECTORY)
}

/// Creates a directory and its parents; returns false if it exists already.
fn is_made(path: &Path) -> Result<bool> {
    let cannot = |path: &Path| format!("cannot create the directory {}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| cannot(parent))?;
    }
    match DirBuilder::new().mode(DIRECTORY).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| cannot(path)),
    }
}

/// Returns the options for a new file.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = File::options();
    options.mode(FILE);
    options
}

/// Writes a file like [`fs::write`], with private permissions.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write as _;
    create(path)?.write_all(bytes)
}

/// Creates or truncates a file.
pub fn create(path: &Path) -> io::Result<File> {
    let file = options().write(true).create(true).truncate(true).open(path)?;
    // An existing file may have other permissions.
    file.set_permissions(Permissions::from_mode(FILE))?;
    Ok(file)
}

fn take_from_others(path: &Path, mode: u32) -> Result<()> {
    let cannot = || format!("cannot remove other users' access to {}", path.display());
    let found = fs::metadata(path).with_context(cannot)?.permissions().mode();
    if found & OTHERS == 0 {
        return Ok(());
    }
    log::warn!("removed other users' access to {}", path.display());
    fs::set_permissions(path, Permissions::from_mode(mode)).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn created_and_existing_files_are_private() {
        let directory = TempDir::new().expect("a directory");
        let state = directory.path().join("var/lib/state");
        super::directory(&state).expect("made");
        assert_eq!(mode(&state), DIRECTORY);
        let (old, new) = (state.join("journal"), state.join("backends.json"));
        fs::write(&old, "secret").expect("written");
        for (path, open) in [(&old, 0o644), (&state, 0o755)] {
            fs::set_permissions(path, Permissions::from_mode(open)).expect("set");
        }
        super::directory(&state).expect("taken");
        assert_eq!((mode(&state), mode(&old)), (DIRECTORY, FILE));
        fs::set_permissions(&old, Permissions::from_mode(0o644)).expect("set");
        write(&old, b"other").expect("written");
        write(&new, b"secret").expect("written");
        assert_eq!((mode(&old), mode(&new)), (FILE, FILE));
    }

    #[test]
    fn errors_have_the_systems_reason_and_the_action() {
        let directory = TempDir::new().expect("a directory");
        let [file, link] = ["file", "link"].map(|name| directory.path().join(name));
        fs::write(&file, "").expect("written");
        std::os::unix::fs::symlink("/nowhere/at-all", &link).expect("made");
        let below = file.join("state");
        for (path, told) in [
            (&below, format!("cannot create the directory {}: File exists", file.display())),
            (&file, format!("{} is not a directory", file.display())),
            (&link, format!("cannot access {}: No such file", link.display())),
            (&"/proc/state".into(), "cannot create the directory /proc/state: No such".to_owned()),
        ] {
            let error = format!("{:#}", super::directory(path).expect_err("refused"));
            assert!(error.starts_with(&told), "{error}, not {told}");
        }
    }

    #[test]
    fn a_directory_with_files_of_others_is_not_made_private() {
        let directory = TempDir::new().expect("a directory");
        fs::write(directory.path().join("passwd"), "").expect("written");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("set");
        let refused = super::directory(directory.path()).expect_err("shared").to_string();
        assert!(refused.contains("contains files of other users, such as passwd"), "{refused}");
        assert_eq!(mode(directory.path()), 0o755);
    }
}
