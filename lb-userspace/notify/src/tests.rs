//! Notifications to real servers and programs.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use lb_model::{Event, EventKey, Notify, Recipient};
use nix::unistd::geteuid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

use super::{Notifier, ProgramFault, Tally, Transition, queue::MOST_QUEUED, verify_program};

const USER: &str = "nobody";

fn notify(recipient: Recipient, retries: u32) -> Notify {
    let (events, services, timeout) = (Vec::new(), Vec::new(), Duration::from_secs(5));
    Notify { recipient, events, services, timeout, retries }
}

fn notifier(notify: Notify) -> Notifier {
    let mut notifier = Notifier::new(USER);
    notifier.set(&[notify]);
    notifier
}

/// A change with a number.
fn down(number: usize) -> Transition {
    Transition::new(Event::BackendDown).with(EventKey::Service, "web").with(EventKey::Up, number)
}

async fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} must come soon");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn wait_for_tally(notifier: &Notifier, expected: Tally) {
    wait_for(&format!("{expected:?}"), || notifier.tally() == expected).await;
}

/// A server, and the recipient that it is.
async fn server() -> (TcpListener, Recipient) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let at = listener.local_addr().expect("bound");
    (listener, Recipient::Url(format!("http://{at}/hook?key=secret")))
}

/// Accepts a request and returns its first line and its body.
async fn request(listener: &TcpListener) -> (TcpStream, String, Value) {
    let (mut stream, _) = listener.accept().await.expect("a request");
    let mut reader = BufReader::new(&mut stream);
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await.expect("text");
        let line = line.trim_end().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().expect("a number");
        }
        head.push(line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.expect("a body");
    (stream, head.remove(0), serde_json::from_slice(&body).expect("JSON"))
}

async fn answer(mut stream: TcpStream, status: &str) {
    let text = format!("HTTP/1.1 {status}\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(text.as_bytes()).await.expect("written");
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again_and_the_order_is_kept() {
    let (listener, recipient) = server().await;
    let mut notifier = notifier(notify(recipient, 3));
    for number in 1..=3 {
        notifier.tell(&down(number));
    }
    let (stream, line, first) = request(&listener).await;
    assert_eq!(line, "post /hook?key=secret http/1.1");
    assert_eq!((&first["event"], &first["service"]), (&"backend-down".into(), &"web".into()));
    answer(stream, "500 Oops").await;
    let (stream, _, again) = request(&listener).await;
    assert_eq!(again, first, "the same, again");
    drop(stream);
    for number in 1..=3 {
        let (stream, _, body) = request(&listener).await;
        assert_eq!((&body["up"], &body["lost"]), (&number.into(), &Value::Null));
        answer(stream, "204 No Content").await;
    }
    wait_for_tally(&notifier, Tally { delivered: 3, ..Tally::default() }).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_next_one_tells_of_the_loss() {
    let (listener, recipient) = server().await;
    let mut notifier = notifier(notify(recipient, 0));
    notifier.tell(&down(1));
    answer(request(&listener).await.0, "302 Found").await;
    notifier.tell(&down(2));
    let (stream, line, body) = request(&listener).await;
    assert!(line.starts_with("post /hook"), "{line}");
    assert_eq!((&body["up"], &body["lost"]), (&2.into(), &1.into()));
    answer(stream, "200 OK").await;
    wait_for_tally(&notifier, Tally { delivered: 1, failed: 1, ..Tally::default() }).await;
}

#[tokio::test]
async fn a_flood_is_bounded_and_what_is_left_out_is_told() {
    const MANY: usize = 5 * MOST_QUEUED;
    let (listener, recipient) = server().await;
    let mut notifier = notifier(notify(recipient, 0));
    notifier.tell(&down(0));
    // The first one has left the queue.
    let (stream, ..) = request(&listener).await;
    (1..=MANY).for_each(|number| notifier.tell(&down(number)));
    let (most, many) = (MOST_QUEUED as u64, MANY as u64);
    let full = Tally { queued: most + 1, dropped: many - most, ..Tally::default() };
    assert_eq!(notifier.tally(), full);
    answer(stream, "200 OK").await;
    let first = MANY - MOST_QUEUED + 1;
    for number in first..=MANY {
        let (stream, _, body) = request(&listener).await;
        let lost = if number == first { (many - most).into() } else { Value::Null };
        assert_eq!((&body["up"], &body["lost"]), (&number.into(), &lost), "the newest remain");
        answer(stream, "200 OK").await;
    }
    let all = Tally { delivered: most + 1, dropped: many - most, ..Tally::default() };
    wait_for_tally(&notifier, all).await;
}

#[tokio::test]
async fn recipients_that_stay_keep_what_waits_for_them() {
    let (listener, recipient) = server().await;
    let (_silent, other) = server().await;
    let [kept, removed] = [recipient, other].map(|recipient| notify(recipient, 0));
    let mut notifier = Notifier::new(USER);
    notifier.set(&[removed, kept.clone()]);
    notifier.tell(&down(1));
    let (stream, ..) = request(&listener).await;
    notifier.tell(&down(2));
    notifier.set(&[Notify { retries: 1, ..kept }]);
    notifier.tell(&down(3).expected(true));
    answer(stream, "200 OK").await;
    let (stream, _, body) = request(&listener).await;
    assert_eq!(body["up"], 2);
    answer(stream, "200 OK").await;
    wait_for_tally(&notifier, Tally { delivered: 2, dropped: 2, ..Tally::default() }).await;
}

#[tokio::test]
async fn the_end_waits_for_deliveries_but_not_for_long() {
    let (listener, recipient) = server().await;
    let mut notifier = notifier(notify(recipient, 0));
    let counts = std::sync::Arc::clone(&notifier.counts);
    (1..=3).for_each(|number| notifier.tell(&down(number)));
    let closing = tokio::spawn(notifier.close());
    answer(request(&listener).await.0, "200 OK").await;
    let (_silent, ..) = request(&listener).await;
    closing.await.expect("it ends although the server is silent");
    let expected = Tally { delivered: 1, dropped: 2, ..Tally::default() };
    wait_for("the end of the rest", || counts.tally() == expected).await;
}

#[tokio::test]
async fn interim_answers_without_end_are_a_failure() {
    let (listener, recipient) = server().await;
    let patient = Notify { timeout: Duration::from_mins(1), ..notify(recipient, 0) };
    let mut notifier = notifier(patient);
    notifier.tell(&down(1));
    let (mut stream, ..) = request(&listener).await;
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    while stream.write_all(interim).await.is_ok() {}
    wait_for_tally(&notifier, Tally { failed: 1, ..Tally::default() }).await;
}

/// Directories of programs, which only root can write to, and of what they write.
struct Programs {
    own: TempDir,
    written: TempDir,
}

impl Programs {
    fn new() -> Self {
        assert!(geteuid().is_root(), "programs run as another user, which takes root");
        let programs =
            Self { own: TempDir::new().expect("made"), written: TempDir::new().expect("made") };
        for (directory, mode) in [(&programs.own, 0o755), (&programs.written, 0o777)] {
            set_mode(directory.path(), mode);
        }
        programs
    }

    fn program(&self, script: &str) -> PathBuf {
        let path = self.own.path().join("program");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        set_mode(&path, 0o755);
        path
    }

    fn written(&self) -> PathBuf {
        self.written.path().join("written")
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_program_is_told_by_arguments_environment_and_input() {
    let programs = Programs::new();
    let written = programs.written();
    let script = format!(
        "(id -un; echo \"$1\"; echo \"$2\"; echo \"$XDPLB_SERVICE $XDPLB_UP\"; cat) > {0}.new\n\
         mv {0}.new {0}",
        written.display()
    );
    let program = programs.program(&script);
    let mut notifier = notifier(notify(Recipient::Program(program), 0));
    notifier.tell(&down(7));
    wait_for_tally(&notifier, Tally { delivered: 1, ..Tally::default() }).await;
    let text = fs::read_to_string(written).expect("written");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..4], [USER, "backend-down", "backend is down service=web up=7", "web 7"]);
    let object: Value = serde_json::from_str(lines[4]).expect("JSON");
    assert_eq!((&object["up"], lines.len()), (&7.into(), 5));
}

#[tokio::test]
#[ignore = "needs root"]
async fn programs_that_misbehave_end_and_are_counted() {
    let programs = Programs::new();
    let child = programs.written();
    let slow = format!("sleep 600 & echo $! > {}; sleep 600", child.display());
    for (script, is_delivered) in [
        ("exit 3", false),
        (slow.as_str(), false),
        ("exec <&-; exit 0", true),
        ("exec 0<&- 1>&- 2>&-; exit 0", true),
        ("head -c 10000000 /dev/zero | tr '\\0' '\\033'; exit 0", true),
        ("yes", false),
    ] {
        let program = programs.program(script);
        let notify = notify(Recipient::Program(program), 0);
        let mut notifier = notifier(Notify { timeout: Duration::from_secs(1), ..notify });
        notifier.tell(&down(1).with(EventKey::Reason, "x".repeat(100_000)));
        wait_for("the end", || notifier.tally().queued == 0).await;
        assert_eq!(notifier.tally().delivered == 1, is_delivered, "{script}");
    }
    let pid = fs::read_to_string(child).expect("it ran");
    let stat = format!("/proc/{}/stat", pid.trim());
    wait_for("the end of the slow program's child", || {
        fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
    })
    .await;
}

#[test]
#[ignore = "needs root"]
fn programs_that_others_can_replace_are_not_run() {
    let programs = Programs::new();
    let program = programs.program("exit 0");
    verify_program(&program).expect("root's");
    for (path, mode, restored) in [(&*program, 0o777, 0o755), (programs.own.path(), 0o775, 0o755)] {
        set_mode(path, mode);
        let fault = verify_program(&program).expect_err("unsafe");
        let expected = format!("users other than root can write to {}", path.display());
        assert!(matches!(&fault, ProgramFault::Unsafe(said) if *said == expected), "{fault:?}");
        set_mode(path, restored);
    }
    std::os::unix::fs::chown(&program, Some(1), None).expect("root");
    assert!(matches!(verify_program(&program), Err(ProgramFault::Unsafe(_))));
    std::os::unix::fs::chown(&program, Some(0), None).expect("root");
    for (directory, is_safe) in [(programs.own.path(), true), (programs.written.path(), false)] {
        let link = directory.join("link");
        symlink(&program, &link).expect("linked");
        assert_eq!(verify_program(&link).is_ok(), is_safe, "others could replace it: {link:?}");
    }
    let absent = programs.own.path().join("absent");
    set_mode(&program, 0o644);
    for path in [&absent, &program] {
        assert!(matches!(verify_program(path), Err(ProgramFault::Unusable(_))), "{path:?}");
    }
}
