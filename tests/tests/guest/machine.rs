//! An emulated machine.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{initramfs::Initramfs, kernel::Kernel};

const POLL: Duration = Duration::from_millis(100);

/// What the guest's console says if its steps have succeeded.
const SUCCESS: &str = "guest: ended with 0";

/// Runs steps of a shell as root of a guest, and returns what they have printed.
///
/// # Panics
///
/// With the guest's console, if they fail or take longer than `longest`.
pub fn run(kernel: &Kernel, mut initramfs: Initramfs, steps: &str, longest: Duration) -> String {
    initramfs.write("steps.sh".as_ref(), steps.as_bytes());
    let [console, output] = ["console", "output"].map(|name| initramfs.directory.join(name));
    let archive = initramfs.pack();
    let begin = Instant::now();
    let mut machine = start(kernel, &archive, &console, &output);
    let is_over = ended_within(&mut machine, longest);
    let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let (console, output) = (read(&console), read(&output));
    println!("{}: {:?}", kernel.version, begin.elapsed());
    assert!(
        is_over && console.contains(SUCCESS),
        "{} did not succeed within {longest:?}\n--- console\n{console}\n--- output\n{output}",
        kernel.version
    );
    output
}

fn start(kernel: &Kernel, initramfs: &Path, console: &Path, output: &Path) -> Child {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"]);
    qemu.args([
        "-display",
        "none",
        "-nodefaults",
        "-no-reboot",
        "-nic",
        "none",
        "-monitor",
        "none",
    ]);
    qemu.arg("-serial").arg(file(console)).arg("-serial").arg(file(output));
    qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initramfs);
    qemu.args(["-append", "console=ttyS0 quiet panic=-1 rdinit=/init"]);
    qemu.stdin(Stdio::null()).spawn().expect("qemu-system-x86 is installed")
}

fn file(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// Ends the machine if it does not end itself.
fn ended_within(machine: &mut Child, longest: Duration) -> bool {
    let deadline = Instant::now() + longest;
    while Instant::now() < deadline {
        if machine.try_wait().expect("a child").is_some() {
            return true;
        }
        sleep(POLL);
    }
    machine.kill().expect("a child of our own");
    machine.wait().expect("it ends");
    false
}
