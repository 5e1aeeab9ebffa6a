//! Downloads that last some seconds, and need no web server.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread::{scope, sleep, spawn},
    time::{Duration, Instant},
};

use lb_testbed::Host;

/// Bytes of one chunk.
const CHUNK: usize = 1_000;
/// Number of chunks of a download, and the pause between two.
const CHUNKS: usize = 300;
const PAUSE: Duration = Duration::from_millis(10);

/// Time that a client waits for the next bytes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes a backend answer each connection by a download, until the process ends.
///
/// # Panics
///
/// If it cannot listen.
pub fn serve(host: &Host, port: u16) {
    let listen = || TcpListener::bind((host.address, port)).expect("a free port");
    let listener = host.namespace.run(listen).expect("the namespace is there");
    spawn(move || {
        for stream in listener.incoming().flatten() {
            spawn(move || send(stream));
        }
    });
}

/// Sends a download, until its client is gone.
fn send(mut stream: TcpStream) {
    for _ in 0..CHUNKS {
        if stream.write_all(&[7; CHUNK]).is_err() {
            return;
        }
        sleep(PAUSE);
    }
}

/// Starts this many downloads, disturbs them when all have started, and returns the number of
/// complete ones.
///
/// # Panics
///
/// If they do not start.
pub fn complete_while(
    client: &Host,
    from: SocketAddr,
    count: usize,
    disturb: impl FnOnce() + Send,
) -> usize {
    let begun = AtomicUsize::new(0);
    let load = || client.namespace.run(|| download(from, &begun)).expect("the namespace is there");
    scope(|scope| {
        let downloads: Vec<_> = (0..count).map(|_| scope.spawn(load)).collect();
        let deadline = Instant::now() + PATIENCE;
        while begun.load(Ordering::Relaxed) < count {
            assert!(Instant::now() < deadline, "not all of {count} downloads have begun");
            sleep(PAUSE);
        }
        disturb();
        let complete =
            |bytes: &io::Result<usize>| matches!(bytes, Ok(bytes) if *bytes == CHUNK * CHUNKS);
        let ends = downloads.into_iter().map(|download| download.join().expect("no panic"));
        ends.inspect(|end| println!("download: {end:?}")).filter(complete).count()
    })
}

fn download(from: SocketAddr, begun: &AtomicUsize) -> io::Result<usize> {
    let mut stream = TcpStream::connect(from)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = stream.read(&mut buffer)?;
    begun.fetch_add(1, Ordering::Relaxed);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(bytes),
            more => bytes += more,
        }
    }
}
