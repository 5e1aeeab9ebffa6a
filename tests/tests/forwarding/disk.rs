//! A disk that does not respond.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Command, Stdio},
};

use lb_tests::{
    balancer::Balancer,
    requests,
    servers::nginx_everywhere,
    site::{Arms, backend, empty_testbed, text, vip},
};

/// A file system in a file, which can be made to hang.
struct Disk(PathBuf);

impl Disk {
    fn new(directory: PathBuf) -> Self {
        let image = directory.with_extension("img");
        fs::File::create(&image).and_then(|file| file.set_len(32 << 20)).expect("an image");
        fs::create_dir_all(&directory).expect("a directory");
        let image = image.to_str().expect("text");
        run("mkfs.ext4", &["-q", image]);
        run("mount", &["-o", "loop", image, directory.to_str().expect("text")]);
        Self(directory)
    }

    fn freeze(&self) -> Frozen<'_> {
        run("fsfreeze", &["--freeze", self.0.to_str().expect("text")]);
        Frozen(self)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.0.to_str().expect("text")]);
    }
}

/// While this lives, a process that writes to the disk waits, and cannot even be killed.
struct Frozen<'a>(&'a Disk);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        run("fsfreeze", &["--unfreeze", self.0.0.to_str().expect("text")]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("installed");
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// The API's answer about the services, with its headers.
fn read(balancer: &Balancer) -> String {
    let mut stream = UnixStream::connect(balancer.socket()).expect("the daemon listens");
    let request = "GET /v1/services HTTP/1.1\r\nhost: xdplb\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

#[test]
#[ignore = "needs root"]
fn a_disk_that_does_not_answer_holds_up_no_fail_over() {
    let testbed = empty_testbed(Arms::Two);
    let mut servers = nginx_everywhere(&testbed);
    let state = testbed.directory().join("disk");
    let disk = Disk::new(state.clone());
    let text = text(&testbed, &[1; 3]);
    let own = format!("state_dir = {:?}", testbed.directory().join("state"));
    assert!(text.contains(&own), "{text}");
    let text = text.replace(&own, &format!("state_dir = {:?}", state.join("xdplb")));
    let balancer = Balancer::start(&testbed, &text);
    balancer.wait_for_ring_of(3);

    let frozen = disk.freeze();
    let third = backend(&testbed, 2).to_string();
    let mut change = balancer.command(&["backend", "set", "web", &third, "--weight", "5"]);
    let mut change = change.stdout(Stdio::null()).spawn().expect("the binary runs");
    let log = || fs::read_to_string(testbed.directory().join("log")).expect("text");
    let weights =
        || -> Vec<_> { balancer.services()[0].backends.iter().map(|one| one.weight).collect() };
    balancer.wait_for("the change in the kernel", || weights() == [1, 1, 5]);
    assert!(!log().contains("weight 5"), "logged before it was on the disk");
    let answer = read(&balancer);
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("\netag:"), "{answer}");
    drop(servers.remove(0));
    balancer.wait_for("the fail-over", || log().contains("up=2 backends=3"));
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 30);
    assert_eq!(answers.get(""), None, "{answers:?}");
    assert_eq!(weights(), [1, 1, 5], "what runs can be read");
    assert_eq!(balancer.done(&["history"]).lines().count(), 2, "a heading and one version");
    assert!(change.try_wait().expect("a child").is_none(), "answered before it was on the disk");

    drop(frozen);
    assert!(change.wait().expect("a child").success());
    assert_eq!(weights(), [1, 1, 5]);
    assert!(balancer.done(&["history"]).contains("weight 5"));
    assert!(log().contains("weight 5"), "{}", log());
    let answer = read(&balancer);
    assert!(answer.contains("\netag: \"2\"\r\n"), "{answer}");
}
