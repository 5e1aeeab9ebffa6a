//! Connections with continuous traffic in both directions, each checked byte for byte.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread::{scope, sleep, spawn},
    time::{Duration, Instant},
};

use lb_testbed::Host;

/// Pause between two messages.
const PAUSE: Duration = Duration::from_millis(5);

/// Time that a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes a backend return what it gets, until the process ends.
///
/// # Panics
///
/// If it cannot listen.
pub fn serve(host: &Host, port: u16) {
    let listen = || TcpListener::bind((host.address, port)).expect("a free port");
    let listener = host.namespace.run(listen).expect("the namespace is there");
    spawn(move || {
        for mut stream in listener.incoming().flatten() {
            spawn(move || stream.try_clone().and_then(|mut to| io::copy(&mut stream, &mut to)));
        }
    });
}

/// Keeps this many conversations going while something disturbs them. Returns the result of the
/// disturbance and of each conversation.
///
/// # Panics
///
/// If they do not begin.
pub fn hold<T>(
    client: &Host,
    to: SocketAddr,
    count: usize,
    disturb: impl FnOnce() -> T,
) -> (T, Vec<io::Result<()>>) {
    let (begun, goes_on) = (AtomicUsize::new(0), AtomicBool::new(true));
    let talk = || client.namespace.run(|| talk(to, &begun, &goes_on)).expect("the namespace");
    scope(|scope| {
        let end = End(&goes_on);
        let talks: Vec<_> = (0..count).map(|_| scope.spawn(talk)).collect();
        let deadline = Instant::now() + PATIENCE;
        while begun.load(Ordering::Relaxed) < count {
            assert!(Instant::now() < deadline, "not all of {count} conversations have begun");
            sleep(PAUSE);
        }
        let disturbed = disturb();
        drop(end);
        (disturbed, talks.into_iter().map(|talk| talk.join().expect("no panic")).collect())
    })
}

/// Clears a flag when it is dropped, so that threads end that go on while it is set.
pub struct End<'a>(pub &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn talk(to: SocketAddr, begun: &AtomicUsize, goes_on: &AtomicBool) -> io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    for number in 0_u64.. {
        let message = number.to_be_bytes();
        stream.write_all(&message)?;
        let mut answer = [0; size_of::<u64>()];
        stream.read_exact(&mut answer)?;
        if answer != message {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if number == 0 {
            begun.fetch_add(1, Ordering::Relaxed);
        }
        if !goes_on.load(Ordering::Relaxed) {
            break;
        }
        sleep(PAUSE);
    }
    Ok(())
}
