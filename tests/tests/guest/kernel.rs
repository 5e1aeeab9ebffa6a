//! Debian's kernels, unpacked from their packages and never installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A package that depends on the newest kernel of its version.
pub struct Package(&'static str);

pub const DEBIAN_6_1: Package = Package("linux-image-cloud-amd64");
pub const DEBIAN_6_12: Package = Package("linux-image-6.12-cloud-amd64");

/// Cache of packages between runs.
const CACHE: &str = concat!(env!("OUT_DIR"), "/../../../../guests");

/// Modules that the kernel or the tests load, with their dependencies.
const MODULES: [&str; 8] = [
    "veth",
    "bridge",
    "sch_ingress",
    "cls_bpf",
    "cls_u32",
    "sch_netem",
    "virtio_net",
    // Not listed as a dependency, so busybox does not know that the network cards need it.
    "virtio_pci",
];

/// An unpacked kernel.
pub struct Kernel {
    pub image: PathBuf,
    pub version: String,
    /// Directory with `lib/modules`.
    root: PathBuf,
}

impl Package {
    /// # Panics
    ///
    /// If it is neither in the cache nor available by apt.
    pub fn kernel(&self) -> Kernel {
        let image = self.newest();
        let root = Path::new(CACHE).join(&image);
        if !root.join("boot").exists() {
            unpack(&image, &root);
        }
        let version = image.strip_prefix("linux-image-").expect("a kernel").to_owned();
        let image = root.join(format!("boot/vmlinuz-{version}"));
        Kernel { image, version, root }
    }

    /// Returns the name of the kernel's own package.
    fn newest(&self) -> String {
        let depends = output(Command::new("apt-cache").args(["depends", "--important", self.0]));
        let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        let name = names.map(str::to_owned).find(|name| name.starts_with("linux-image-"));
        name.unwrap_or_else(|| panic!("apt does not know {}: run `apt-get update`", self.0))
    }
}

impl Kernel {
    /// Returns the files of the modules, with paths relative to the root directory.
    pub fn modules(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let directory = format!("lib/modules/{}", self.version);
        let dependencies = fs::read_to_string(self.root.join(&directory).join("modules.dep"));
        let dependencies = dependencies.expect("unpacked");
        let lines = dependencies.lines().filter(|line| MODULES.contains(&module(line)));
        let files = lines.flat_map(|line| line.split([':', ' ']).filter(|file| !file.is_empty()));
        let indexes = ["modules.dep", "modules.alias", "modules.builtin", "modules.order"];
        let files = files.chain(indexes).map(|file| Path::new(&directory).join(file));
        files.map(|file| (file.clone(), fs::read(self.root.join(file)).expect("there"))).collect()
    }
}

/// Returns the name of the module of a line of `modules.dep`.
fn module(line: &str) -> &str {
    let file = line.split(':').next().unwrap_or_default();
    let name = file.rsplit('/').next().unwrap_or_default();
    name.strip_suffix(".ko").unwrap_or_default()
}

fn unpack(package: &str, root: &Path) {
    fs::create_dir_all(CACHE).expect("a directory");
    done(
        Command::new("apt-get")
            .args(["-o", "APT::Sandbox::User=root", "--quiet", "download", package])
            .current_dir(CACHE),
    );
    let prefix = format!("{package}_");
    let entries = fs::read_dir(CACHE).expect("a directory").map(|entry| entry.expect("one"));
    let archive = entries.map(|entry| entry.path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
    });
    let (archive, partial) = (archive.expect("downloaded"), root.with_extension("partial"));
    let _ = fs::remove_dir_all(&partial);
    done(Command::new("dpkg").arg("-x").arg(&archive).arg(&partial));
    let version = package.strip_prefix("linux-image-").expect("a kernel");
    let modules = partial.join("lib/modules").join(version);
    // Busybox does not decompress modules.
    done(Command::new("find").arg(&modules).args(["-name", "*.xz", "-exec", "unxz", "{}", "+"]));
    done(Command::new("depmod").arg("--basedir").arg(&partial).arg(version));
    fs::rename(partial, root).expect("renamed");
    fs::remove_file(archive).expect("removed");
}

fn done(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    String::from_utf8(output.stdout).expect("text")
}
