//! Root directory of a guest, in memory.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use lb_tests::balancer::BINARY;

use crate::kernel::Kernel;

const INIT: &str = include_str!("init.sh");
const BUSYBOX: &str = "/bin/busybox";

/// A separate directory for each, removed on drop.
pub struct Initramfs {
    pub directory: PathBuf,
}

impl Initramfs {
    pub fn new(kernel: &Kernel) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("xdplb-guest-{}-{nth}", std::process::id());
        let mut initramfs = Self { directory: std::env::temp_dir().join(name) };
        for directory in ["proc", "sys", "dev", "tmp", "run", "root", "etc", "bin", "sbin"] {
            fs::create_dir_all(initramfs.root().join(directory)).expect("a directory");
        }
        initramfs.add_program(BUSYBOX.as_ref());
        initramfs.write("init".as_ref(), INIT.as_bytes());
        initramfs.make_executable("init".as_ref());
        for (path, content) in kernel.modules() {
            initramfs.write(&path, &content);
        }
        initramfs
    }

    /// Adds the binary under test, where tests look for it.
    pub fn add_xdplb(&mut self) {
        self.add(BINARY.as_ref(), BINARY.as_ref());
        std::os::unix::fs::symlink(BINARY, self.root().join("bin/xdplb")).expect("a link");
    }

    /// Adds a program of the host, at the same path, with its libraries.
    pub fn add_program(&mut self, program: &Path) {
        self.add(program, program);
        let listed = Command::new("ldd").arg(program).output().expect("libc-bin");
        for word in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
            if word.starts_with('/') {
                self.add(word.as_ref(), word.as_ref());
            }
        }
    }

    /// Copies a file without debug information.
    pub fn add_stripped(&mut self, from: &Path, to: &Path) {
        self.add_program(from);
        let place = self.place(to);
        let mut strip = Command::new("strip");
        strip.arg("--strip-debug").arg("-o").arg(&place).arg(from);
        assert!(strip.status().expect("binutils").success(), "{strip:?}");
    }

    pub fn write(&mut self, path: &Path, content: &[u8]) {
        fs::write(self.place(path), content).expect("written");
    }

    /// Creates the archive for the kernel.
    pub fn pack(&self) -> PathBuf {
        let archive = self.directory.join("initramfs.cpio");
        let file = fs::File::create(&archive).expect("created");
        let mut cpio = Command::new("cpio");
        cpio.args(["--create", "--format=newc", "--owner=0:0", "--quiet"]).current_dir(self.root());
        let mut cpio = cpio.stdin(Stdio::piped()).stdout(file).spawn().expect("cpio");
        let names = Command::new("find").arg(".").current_dir(self.root()).output().expect("find");
        cpio.stdin.take().expect("piped").write_all(&names.stdout).expect("written");
        assert!(cpio.wait().expect("a child").success());
        archive
    }

    fn add(&mut self, from: &Path, to: &Path) {
        let place = self.place(to);
        fs::copy(from, &place).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }

    fn make_executable(&self, path: &Path) {
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.root().join(path), executable).expect("changed");
    }

    /// Returns the path of a guest's file on the host, and creates its directory.
    fn place(&self, path: &Path) -> PathBuf {
        let mut place = self.root();
        for part in path.components() {
            match part {
                Component::Normal(name) => place.push(name),
                // The guest's kernel resolves the rest again.
                Component::ParentDir => {
                    fs::create_dir_all(&place).expect("a directory");
                    place.pop();
                }
                _ => {}
            }
        }
        fs::create_dir_all(place.parent().expect("below the root")).expect("a directory");
        place
    }

    fn root(&self) -> PathBuf {
        self.directory.join("root")
    }
}

impl Drop for Initramfs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
