//! Who else could change a file.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

use nix::{
    errno::Errno,
    unistd::{Uid, geteuid},
};

/// Write permissions of everybody except the owner.
const OTHERS_WRITE: u32 = 0o022;

/// In such a directory, only its owner can replace a file of somebody else.
const STICKY: u32 = 0o1000;

/// Maximum number of links on a path, like the kernel's.
const MOST_LINKS: u32 = 40;

/// Why a path does not lead to a file that others cannot replace.
#[derive(Debug)]
pub enum Unkept {
    /// Others could put something else here.
    Open(PathBuf),
    Unreadable(PathBuf, io::Error),
}

/// Returns true if only root or the daemon's user can write there.
#[must_use]
pub fn is_only_roots(found: &Metadata) -> bool {
    is_only_of(found, geteuid())
}

fn is_only_of(found: &Metadata, daemon: Uid) -> bool {
    let is_owned = found.uid() == 0 || found.uid() == daemon.as_raw();
    is_owned && (found.is_symlink() || found.mode() & OTHERS_WRITE == 0)
}

/// Follows an absolute path to a file that only root or the daemon's user can change or replace, and returns its
/// path without links. Each directory and each link on the way is verified.
pub fn kept_file(path: &Path) -> Result<PathBuf, Unkept> {
    follow(PathBuf::from("/"), path, &mut 0)
}

fn follow(from: PathBuf, path: &Path, links: &mut u32) -> Result<PathBuf, Unkept> {
    path.components().try_fold(from, |place, part| match part {
        Component::ParentDir => Ok(place.parent().unwrap_or(&place).to_owned()),
        Component::CurDir => Ok(place),
        named => enter(place.join(named), links),
    })
}

fn enter(place: PathBuf, links: &mut u32) -> Result<PathBuf, Unkept> {
    let unreadable = |error| Unkept::Unreadable(place.clone(), error);
    let found = fs::symlink_metadata(&place).map_err(unreadable)?;
    if !is_only_roots(&found) && !is_sticky(&found) {
        return Err(Unkept::Open(place));
    }
    if !found.is_symlink() {
        return Ok(place);
    }
    *links += 1;
    if *links > MOST_LINKS {
        return Err(unreadable(Errno::ELOOP.into()));
    }
    let target = fs::read_link(&place).map_err(unreadable)?;
    follow(place.parent().unwrap_or(&place).to_owned(), &target, links)
}

/// Returns true for a directory like /tmp, in which others can make files, but not replace root's.
fn is_sticky(found: &Metadata) -> bool {
    found.is_dir() && found.uid() == 0 && found.mode() & STICKY != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn files_of_the_daemons_user_are_trusted_like_roots() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let owner = file.as_file().metadata().expect("there").uid();
        let is_trusted = |mode: u32, daemon: u32| {
            file.as_file().set_permissions(fs::Permissions::from_mode(mode)).expect("set");
            let found = file.as_file().metadata().expect("there");
            is_only_of(&found, Uid::from_raw(daemon))
        };
        assert!(is_trusted(0o400, owner) && is_trusted(0o644, owner));
        assert!(!is_trusted(0o420, owner) && !is_trusted(0o602, owner));
        // Every daemon trusts a file of root, and none that of another user.
        assert_eq!(is_trusted(0o400, owner + 1), owner == 0);
    }

    #[test]
    fn links_are_followed_and_a_loop_ends() {
        let directory = TempDir::new().expect("a directory");
        let root = directory.path().canonicalize().expect("there");
        let (file, inner) = (root.join("file"), root.join("inner"));
        fs::write(&file, "").expect("written");
        fs::create_dir(&inner).expect("made");
        for (target, link) in [("../file", "inner/up"), ("inner", "in"), ("loop", "loop")] {
            symlink(target, root.join(link)).expect("linked");
        }
        for path in ["file", "./file", "inner/../file", "inner/up", "in/up"] {
            assert_eq!(kept_file(&root.join(path)).expect("kept"), file, "{path}");
        }
        for path in ["loop", "absent", "file/below"] {
            assert!(matches!(kept_file(&root.join(path)), Err(Unkept::Unreadable(..))), "{path}");
        }
    }

    #[test]
    fn directories_of_others_on_the_way_are_found() {
        let directory = TempDir::new().expect("a directory");
        let root = directory.path().canonicalize().expect("there");
        let (open, file) = (root.join("open"), root.join("file"));
        fs::create_dir(&open).expect("made");
        fs::write(&file, "").expect("written");
        symlink(&file, open.join("link")).expect("linked");
        symlink("open/link", root.join("link")).expect("linked");
        kept_file(&root.join("link")).expect("kept");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("set");
        for path in ["link", "open/link"] {
            let fault = kept_file(&root.join(path)).expect_err("open");
            assert!(matches!(&fault, Unkept::Open(place) if *place == open), "{fault:?}");
        }
    }
}
