//! One client that opens a connection for every request, as plain as can be.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use lb_userspace::bed::Host;

/// How long a request may take.
const LONGEST: Duration = Duration::from_secs(2);

/// Who answered how often; requests that failed stand under the empty name.
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
            *answers.entry(request(to).unwrap_or_default()).or_default() += 1;
        }
        answers
    };
    from.namespace.run(send).expect("the namespace is there")
}

/// Sends requests until told to stop.
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
            *answers.entry(request(to).unwrap_or_default()).or_default() += 1;
        }
        answers
    };
    from.namespace.run(send).expect("the namespace is there")
}

/// The body of the answer.
fn request(to: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, LONGEST)?;
    stream.set_read_timeout(Some(LONGEST))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.filter(|body| !body.is_empty()).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}
