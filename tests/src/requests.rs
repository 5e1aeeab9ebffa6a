//! A simple client that opens a connection for every request.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use lb_testbed::Host;

/// Maximum duration of a request.
const LONGEST: Duration = Duration::from_secs(2);

/// Number of answers by server; failed requests have the empty name.
pub type Answers = BTreeMap<String, u64>;

/// Sends requests one after another, each on a connection of its own.
///
/// # Panics
///
/// If the host's namespace cannot be entered.
#[must_use]
pub fn send(from: &Host, to: SocketAddr, count: u64) -> Answers {
    let send = || {
        let mut answers = Answers::new();
        for _ in 0..count {
            *answers.entry(request(to, LONGEST).unwrap_or_default()).or_default() += 1;
        }
        answers
    };
    from.namespace.run(send).expect("the namespace is there")
}

/// Sends requests until it should stop.
///
/// # Panics
///
/// If the host's namespace cannot be entered.
#[must_use]
pub fn send_while(
    from: &Host,
    to: SocketAddr,
    goes_on: impl Fn() -> bool + Send + Sync,
) -> Answers {
    let send = || {
        let mut answers = Answers::new();
        while goes_on() {
            *answers.entry(request(to, LONGEST).unwrap_or_default()).or_default() += 1;
        }
        answers
    };
    from.namespace.run(send).expect("the namespace is there")
}

/// Sends requests, each of which may take no longer than `patience`, until it should stop. Returns
/// the longest time without an answer.
///
/// # Panics
///
/// If the host's namespace cannot be entered.
#[must_use]
pub fn longest_silence(
    from: &Host,
    to: SocketAddr,
    patience: Duration,
    goes_on: impl Fn() -> bool + Send + Sync,
) -> Duration {
    let send = || {
        let mut longest = Duration::ZERO;
        let mut last = Instant::now();
        while goes_on() {
            let is_answered = request(to, patience).is_ok();
            longest = longest.max(last.elapsed());
            if is_answered {
                last = Instant::now();
            }
        }
        longest
    };
    from.namespace.run(send).expect("the namespace is there")
}

/// Sends requests, each of which may take no longer than `patience`, until one is answered, and
/// returns the answer; `None` if that takes longer than `longest`.
///
/// # Panics
///
/// If the host's namespace cannot be entered.
#[must_use]
pub fn first_answer(
    from: &Host,
    to: SocketAddr,
    patience: Duration,
    longest: Duration,
) -> Option<String> {
    let send = || {
        let begin = Instant::now();
        while begin.elapsed() < longest {
            if let Ok(answer) = request(to, patience) {
                return Some(answer);
            }
        }
        None
    };
    from.namespace.run(send).expect("the namespace is there")
}

/// Returns the body of the response.
fn request(to: SocketAddr, patience: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.filter(|body| !body.is_empty()).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}
