//! Real servers and clients, from Debian's packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::Duration,
};

use lb_testbed::{Host, Namespace, Testbed};

/// Port of every backend's nginx.
pub const PORT: u16 = 80;

/// Time until a started server listens.
const SETTLING: Duration = Duration::from_millis(200);

/// Starts a web server in each backend, which answers with the backend's name.
///
/// # Panics
///
/// If nginx cannot be started.
#[must_use]
pub fn nginx_everywhere(testbed: &Testbed) -> Vec<Server> {
    (0..testbed.backends().len()).map(|nth| nginx(testbed, nth)).collect()
}

/// A server, killed when this is dropped, as a crash would.
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().expect("a process of our own");
        self.0.wait().expect("it ends");
    }
}

/// Starts a server in a namespace.
///
/// # Panics
///
/// If it cannot be started.
#[must_use]
pub fn start(namespace: &Namespace, program: &str, arguments: &[&str]) -> Server {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(namespace.spawn(&mut command).expect("installed"));
    sleep(SETTLING);
    server
}

/// Starts nginx in a backend. It serves the files of [`root`] under `/files/`.
///
/// # Panics
///
/// If it cannot be started.
#[must_use]
pub fn nginx(testbed: &Testbed, nth: usize) -> Server {
    let directory = testbed.directory().join(format!("nginx{nth}"));
    fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join("nginx.conf");
    fs::write(&file, configuration(nth, &directory, &root(testbed))).expect("written");
    start(&testbed.backends()[nth].namespace, "nginx", &["-c", &file.display().to_string()])
}

/// Returns the directory whose files every nginx serves.
#[must_use]
pub fn root(testbed: &Testbed) -> PathBuf {
    testbed.directory().join("files")
}

fn configuration(nth: usize, directory: &Path, root: &Path) -> String {
    let (directory, root) = (directory.display(), root.display());
    format!(
        "daemon off;\nmaster_process off;\npid {directory}/pid;\nerror_log {directory}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; client_body_temp_path {directory}/body; \
         proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi; \
         uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;\n\
         server {{ listen {PORT} backlog=4096; location / {{ return 200 'backend{nth}'; }}\n\
         location /who {{ return 200 $remote_addr; }}\n\
         location /files/ {{ alias {root}/; }} }} }}\n"
    )
}

/// Runs a client to its end.
///
/// # Panics
///
/// If it cannot be started or fails.
#[must_use]
pub fn client(host: &Host, program: &str, arguments: &[&str]) -> String {
    let output = attempt(&host.namespace, program, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}{printed}");
    printed
}

/// Runs a line of a shell in a namespace.
///
/// # Panics
///
/// If it fails.
pub fn shell(namespace: &Namespace, line: &str) {
    let Output { status, stderr, .. } = attempt(namespace, "sh", &["-c", line]);
    assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
}

/// Runs a program in a namespace to its end.
///
/// # Panics
///
/// If it cannot be started.
#[must_use]
pub fn attempt(namespace: &Namespace, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = namespace.spawn(&mut command).expect("installed");
    child.wait_with_output().expect("ended")
}
