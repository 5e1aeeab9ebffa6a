//! Probes of servers with scripted answers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lb_model::{CheckRequest, Close, HealthCheck, Probe};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Prober,
    outcome::{Failure, Outcome},
    probe::LOOK,
    servers::{lingering, listening, rude, serving},
    slots::{READERS, Slots},
};

/// A check that is run once.
pub(super) struct Once(Arc<Prober>);

impl Once {
    pub(super) fn new(check: HealthCheck) -> Self {
        Self(Arc::new(Prober::new(check, "nobody".into())))
    }

    pub(super) async fn probe(&self, at: SocketAddr) -> Outcome {
        self.0.probe(at, &Slots::new()).await
    }
}

pub(super) fn prober(probe: Probe, request: CheckRequest) -> Once {
    Once::new(check(probe, request))
}

pub(super) fn check(probe: Probe, request: CheckRequest) -> HealthCheck {
    let timeout = Duration::from_millis(300);
    HealthCheck { probe, timeout, request, ..HealthCheck::default() }
}

pub(super) fn assert_tells(outcome: &Outcome, success: bool, word: &str) {
    assert!(outcome.success == Some(success) && outcome.detail.starts_with(word), "{outcome:?}");
}

pub(super) const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhealthy";
pub(super) const BAD: &[u8] = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";

#[tokio::test]
async fn tcp_tells_open_ports_from_closed_and_silent_ones() {
    let tcp = || prober(Probe::Tcp, CheckRequest::default());
    assert_tells(&tcp().probe(serving(b"").await).await, true, "L4OK connected in ");
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let refused = tcp().probe(closed.local_addr().unwrap()).await;
    assert_tells(&refused, false, "L4CON Connection refused");
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = silent.listen(1).unwrap();
    let address = silent.local_addr().unwrap();
    let _backlog =
        [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    assert_tells(&tcp().probe(address).await, false, "L4TOUT no answer in 300ms");
}

#[tokio::test]
async fn a_connection_ends_by_a_reset_or_by_a_fin() {
    for (close, is_reset) in [(None, true), (Some(Close::Reset), true), (Some(Close::Fin), false)] {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let check = prober(Probe::Tcp, CheckRequest { close, ..CheckRequest::default() });
        assert_tells(&check.probe(server.local_addr().unwrap()).await, true, "L4OK");
        let (mut accepted, _) = server.accept().await.unwrap();
        let end = accepted.read(&mut [0; 8]).await;
        assert_eq!(end.is_err(), is_reset, "{close:?}: {end:?}");
    }
}

#[tokio::test]
async fn http_looks_at_status_and_body() {
    let expecting = |status: Option<&str>, expect: Option<&str>| {
        let (status, expect) = (status.map(str::to_owned), expect.map(str::to_owned));
        prober(Probe::Http, CheckRequest { status, expect, ..CheckRequest::default() })
    };
    for (answer, status, expect, success, word) in [
        (GOOD, None, None, true, "L7OK/200"),
        (GOOD, Some("201-299"), None, false, "L7STS/200 got 200, want 201-299"),
        (GOOD, None, Some("^heal(thy|ed)$"), true, "L7OK/200"),
        (GOOD, None, Some("sick"), false, "L7RSP/200 the body does not match sick: got \"healthy"),
        (BAD, None, None, false, "L7STS/503 got 503, want 200-399"),
        (BAD, Some("503"), Some("busy"), true, "L7OK/503"),
        (b"SSH-2.0-OpenSSH\r\n", None, None, false, r#"L7RSP not HTTP: got "SSH-2.0-OpenSSH\r\n""#),
        (b"\x1b[2J", None, None, false, r#"L7RSP not HTTP: got "\x1b[2J""#),
        (b"\x15\x03\x01", None, None, false, "L7RSP not HTTP (TLS?): got"),
        (b"HTTP/1.1 abc\r\n\r\n", None, None, false, "L7RSP the answer has an invalid status code"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            None,
            None,
            false,
            "L7RSP the answer has an invalid Content-Length",
        ),
        (b"", None, None, false, "L7RSP the server closed the connection without an answer"),
    ] {
        let outcome = expecting(status, expect).probe(serving(answer).await).await;
        assert_tells(&outcome, success, word);
    }
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outcome = expecting(None, None).probe(mute.local_addr().unwrap()).await;
    assert_tells(&outcome, false, "L7TOUT");
}

#[tokio::test]
async fn a_body_is_read_until_it_matches_and_no_further() {
    const ENDLESS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhealthy";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nhealthy\r\n";
    const UNBOUNDED: &[u8] = b"HTTP/1.0 200 OK\r\n\r\nhealthy";
    let expecting = |expect: &str| {
        let expect = Some(expect.to_owned());
        prober(Probe::Http, CheckRequest { expect, ..CheckRequest::default() })
    };
    for answer in [ENDLESS, CHUNKED, UNBOUNDED] {
        let at = lingering(answer).await;
        assert_tells(&expecting("heal(thy|ed)").probe(at).await, true, "L7OK/200");
        assert_tells(&expecting("^health").probe(at).await, true, "L7OK/200");
        for open in ["sick", "healthy$", "health\\b", "(?m)healthy$"] {
            let heard = r#"L7RSP body incomplete after 300ms, no match yet: got "healthy""#;
            assert_tells(&expecting(open).probe(at).await, false, heard);
        }
        // The server's close is a reset, as it has not read the request.
        for expect in ["healthy", "^healthy$"] {
            let at = rude(answer).await;
            let is_known_to_end = answer == UNBOUNDED || !expect.ends_with('$');
            let word = if is_known_to_end { "L7OK/200" } else { "L7RSP/200" };
            assert_tells(&expecting(expect).probe(at).await, is_known_to_end, word);
        }
    }
}

#[tokio::test]
async fn what_was_heard_until_the_time_was_up_is_shown() {
    let head = lingering(b"HTTP/1.1 200 OK\r\nContent-").await;
    let outcome = prober(Probe::Http, CheckRequest::default()).probe(head).await;
    let word = r#"L7RSP answer incomplete after 300ms, no match yet: got "HTTP/1.1 200"#;
    assert_tells(&outcome, false, word);
    let request = CheckRequest { expect: Some("PONG".to_owned()), ..CheckRequest::default() };
    let outcome = prober(Probe::SendExpect, request).probe(lingering(b"-LOADING").await).await;
    let word = r#"L7RSP answer incomplete after 300ms, no match yet: got "-LOADING""#;
    assert_tells(&outcome, false, word);
    let tls = prober(Probe::Tls, CheckRequest { verify: Some(false), ..CheckRequest::default() });
    let outcome = tls.probe(lingering(b"\x16\x03\x03").await).await;
    let word = r#"L6RSP handshake incomplete after 300ms: got "\x16\x03\x03""#;
    assert_tells(&outcome, false, word);
}

#[tokio::test]
async fn text_is_found_just_as_it_is() {
    let containing =
        |text: &str| CheckRequest { contains: Some(text.to_owned()), ..CheckRequest::default() };
    let at = serving(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nload (1.5)").await;
    for (probe, text, success, word) in [
        (Probe::Http, "(1.5)", true, "L7OK/200"),
        (Probe::Http, "(1x5)", false, "L7RSP/200"),
        (Probe::Http, ".*", false, "L7RSP/200"),
        (Probe::SendExpect, "(1.5)", true, "L7OK"),
    ] {
        let request = CheckRequest { send: Some("GET".to_owned()), ..containing(text) };
        assert_tells(&prober(probe, request).probe(at).await, success, word);
    }
}

#[tokio::test]
async fn bytes_are_sent_and_expected() {
    let request = |expect: &str| CheckRequest {
        send: Some("PING\\r\\n".to_owned()),
        expect: Some(expect.to_owned()),
        ..CheckRequest::default()
    };
    let redis = serving(b"+PONG\r\n").await;
    let good = prober(Probe::SendExpect, request("^\\+PONG")).probe(redis).await;
    assert_tells(&good, true, "L7OK");
    let bad = prober(Probe::SendExpect, request("QUEUED")).probe(redis).await;
    assert_tells(&bad, false, r#"L7RSP the answer does not match QUEUED: got "+PONG\r\n""#);
}

#[tokio::test]
async fn of_a_long_body_the_beginning_is_looked_at() {
    let body = "healthy".to_owned() + &" ".repeat(100_000);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let at = serving(answer.leak().as_bytes()).await;
    let request = CheckRequest { expect: Some("^healthy".to_owned()), ..CheckRequest::default() };
    assert_tells(&prober(Probe::Http, request).probe(at).await, true, "L7OK/200");
}

#[tokio::test]
async fn what_this_host_lacks_is_no_backends_fault() {
    let directory = TempDir::new().unwrap();
    let ca = directory.path().join("ca.pem");
    let request = CheckRequest { ca: Some(ca.clone()), ..CheckRequest::default() };
    let prober = prober(Probe::Tls, request);
    let server = serving(BAD).await;
    let outcome = prober.probe(server).await;
    assert!(outcome.success.is_none(), "{outcome:?}");
    assert!(
        outcome.detail.starts_with("UNK cannot be checked: `ca` cannot be used"),
        "{outcome:?}"
    );
    let CertifiedKey { cert, .. } = generate_simple_self_signed(Vec::new()).unwrap();
    std::fs::write(&ca, cert.pem()).unwrap();
    assert_tells(&prober.probe(server).await, false, "L6RSP");
    for (number, success, code) in [
        (libc::EMFILE, None, "SOCKERR"),
        (libc::EADDRNOTAVAIL, None, "SOCKERR"),
        (libc::ECONNREFUSED, Some(false), "L4CON"),
        (libc::EHOSTUNREACH, Some(false), "L4CON"),
    ] {
        let failure = Failure::of("L4CON", &std::io::Error::from_raw_os_error(number));
        let outcome = Outcome::from(failure);
        assert_eq!(outcome.success, success);
        assert!(outcome.detail.starts_with(code), "{outcome:?}");
    }
}

#[tokio::test]
async fn certificates_must_be_valid_unless_told_otherwise() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["db.example".to_owned()]).unwrap();
    let directory = TempDir::new().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, at) = listening().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                drop(stream.read(&mut [0; 1_024]).await);
                stream.write_all(GOOD).await.ok();
                stream.shutdown().await.ok();
            });
        }
    });
    let named = |name: &str| CheckRequest {
        sni: Some(name.to_owned()),
        ca: Some(ca.clone()),
        ..CheckRequest::default()
    };
    let careless = CheckRequest { verify: Some(false), ..CheckRequest::default() };
    for (probe, request, success, word) in [
        (Probe::Tls, named("db.example"), true, "L6OK handshake"),
        (Probe::Tls, named("other.example"), false, "L6RSP"),
        (Probe::Tls, CheckRequest { sni: None, ..named("") }, false, "L6RSP"),
        (Probe::Tls, careless.clone(), true, "L6OK"),
        (Probe::Https, named("db.example"), true, "L7OK/200"),
        (Probe::Https, named("other.example"), false, "L6RSP"),
        (Probe::Https, careless, true, "L7OK/200"),
    ] {
        assert_tells(&prober(probe, request).probe(at).await, success, word);
    }
    let plain = serving(BAD).await;
    assert_tells(&prober(Probe::Tls, named("db.example")).probe(plain).await, false, "L6RSP");
}

#[tokio::test]
async fn a_disk_that_does_not_answer_holds_no_check_up() {
    let directory = TempDir::new().unwrap();
    let ca = directory.path().join("ca.pem");
    let CertifiedKey { cert, .. } = generate_simple_self_signed(Vec::new()).unwrap();
    std::fs::write(&ca, cert.pem()).unwrap();
    let request = CheckRequest { ca: Some(ca), ..CheckRequest::default() };
    let new = || Arc::new(Prober::new(check(Probe::Tls, request.clone()), "nobody".into()));
    let (known, unknown) = (new(), new());
    let (server, slots) = (serving(BAD).await, Slots::new());
    assert_tells(&known.probe(server, &slots).await, false, "L6RSP");
    // Simulates this many threads that wait for the disk.
    let mut stuck = Vec::new();
    for _ in 0..READERS {
        stuck.push(slots.reader().await.expect("a slot"));
    }
    let outcome = unknown.probe(server, &slots).await;
    assert!(outcome.success.is_none() && outcome.detail.contains("`ca`"), "{outcome:?}");
    let tcp = Arc::new(Prober::new(check(Probe::Tcp, CheckRequest::default()), "nobody".into()));
    assert_tells(&tcp.probe(server, &slots).await, true, "L4OK");
    tokio::time::sleep(LOOK).await;
    assert_tells(&known.probe(server, &slots).await, false, "L6RSP");
    drop(stuck);
    tokio::time::sleep(LOOK).await;
    assert_tells(&unknown.probe(server, &slots).await, false, "L6RSP");
}
