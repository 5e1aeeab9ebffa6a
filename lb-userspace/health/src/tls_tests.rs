//! TLS probes of OpenSSL servers.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use lb_model::{CheckRequest, HealthCheck, Probe};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::Instant};

use super::{
    probe_tests::{assert_tells, check, prober},
    servers::serving,
};

/// Generous, as many tests may run concurrently.
const TIMEOUT: Duration = Duration::from_secs(5);

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "openssl {arguments}: {output:?}");
}

/// An `openssl s_server`, killed on drop.
struct Server {
    process: Child,
    at: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Server {
    async fn start(directory: &Path, name: &str, more: &[&str]) -> Self {
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let at = free.local_addr().unwrap();
        drop(free);
        let process = Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-cipher", "DEFAULT@SECLEVEL=0"])
            .args(["-accept", &at.to_string(), "-cert", &format!("{name}.pem")])
            .args(["-key", &format!("{name}.key")])
            .args(more)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(at).await.is_err() {
            assert!(Instant::now() < deadline, "openssl s_server with {name} must listen soon");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { process, at }
    }
}

/// Creates a self-signed certificate, with a key from `openssl genpkey`.
fn certificate(directory: &Path, name: &str, key: &str, more: &str) {
    fs::write(directory.join("req.cnf"), "[req]\ndistinguished_name=dn\n[dn]\n").unwrap();
    openssl(directory, &format!("genpkey {key} -out {name}.key"));
    let request = format!(
        "req -config req.cnf -x509 -new -key {name}.key -out {name}.pem -days 2 -subj /CN={name} \
         -addext basicConstraints=CA:FALSE{more}"
    );
    openssl(directory, &request);
}

/// Creates a certificate of version 1: it has no extensions.
fn certificate_v1(directory: &Path, name: &str) {
    openssl(directory, &format!("genpkey {P256} -out {name}.key"));
    openssl(directory, &format!("req -new -key {name}.key -out {name}.csr -subj /CN={name}"));
    let sign = format!("x509 -req -in {name}.csr -signkey {name}.key -out {name}.pem -days 2");
    openssl(directory, &sign);
    let text = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in", &format!("{name}.pem")])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains("Version: 1 "), "{text:?}");
}

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
const P521: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-521";
const RSA_1024: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:1024";
const RSA_PSS: &str = "-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048";
const RSA_2048: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";

fn patient(probe: Probe, request: CheckRequest) -> super::probe_tests::Once {
    let slow = HealthCheck { timeout: TIMEOUT, interval: TIMEOUT, ..check(probe, request) };
    super::probe_tests::Once::new(slow)
}

fn careless() -> CheckRequest {
    CheckRequest { verify: Some(false), ..CheckRequest::default() }
}

/// Certificates that are refused with verification. Ed448 and RSA-PSS are for TLS 1.3 only.
#[tokio::test]
async fn without_verify_any_certificate_is_taken_that_openssl_takes() {
    let directory = TempDir::new().unwrap();
    let place = directory.path();
    certificate_v1(place, "version1");
    certificate(place, "rsa1024", RSA_1024, "");
    certificate(place, "p521", P521, "");
    certificate(place, "ed448", "-algorithm ED448", "");
    certificate(place, "critical", P256, " -addext 1.2.3.4.5=critical,DER:0500");
    certificate(place, "self", RSA_2048, "");
    certificate(place, "pss", RSA_PSS, "");
    for name in ["version1", "rsa1024", "p521", "ed448", "critical", "self", "pss"] {
        for version in ["-tls1_2", "-tls1_3"] {
            println!("{name} {version}");
            if ["ed448", "pss"].contains(&name) && version == "-tls1_2" {
                continue;
            }
            let server = Server::start(place, name, &[version]).await;
            let tls = patient(Probe::Tls, careless()).probe(server.at).await;
            println!("{name} {version}");
            assert_tells(&tls, true, "L6OK handshake");
            let https = patient(Probe::Https, careless()).probe(server.at).await;
            assert_tells(&https, true, "L7OK/200");
            let strict = CheckRequest { sni: Some("self".to_owned()), ..CheckRequest::default() };
            let ca = Some(place.join(format!("{name}.pem")));
            let strict = CheckRequest { ca, ..strict };
            assert_tells(&patient(Probe::Tls, strict).probe(server.at).await, false, "L6RSP");
        }
    }
}

#[tokio::test]
async fn files_are_read_again_when_they_have_changed() {
    let directory = TempDir::new().unwrap();
    let place = directory.path();
    for name in ["old", "new"] {
        certificate(place, name, P256, " -addext subjectAltName=DNS:db.example");
    }
    let file = |name: &str| -> PathBuf { place.join(name) };
    let copy = |from: &str, to: &str| {
        fs::copy(file(from), file("copy")).unwrap();
        fs::rename(file("copy"), file(to)).unwrap();
    };
    copy("old.pem", "ca.pem");
    copy("old.pem", "client.pem");
    copy("old.key", "client.key");
    let request = CheckRequest {
        sni: Some("db.example".to_owned()),
        ca: Some(file("ca.pem")),
        certificate: Some(file("client.pem")),
        key: Some(file("client.key")),
        ..CheckRequest::default()
    };
    let prober = patient(Probe::Https, request);
    // Accepts clients with this certificate only.
    let mutual = |name: &'static str| {
        let client: &'static str = format!("{name}.pem").leak();
        [name, "-Verify", "1", "-verify_return_error", "-CAfile", client]
    };
    let old = mutual("old");
    let server = Server::start(place, old[0], &old[1..]).await;
    assert_tells(&prober.probe(server.at).await, true, "L7OK/200");
    drop(server);
    let new = mutual("new");
    let server = Server::start(place, new[0], &new[1..]).await;
    assert_tells(&prober.probe(server.at).await, false, "L6RSP");
    copy("new.pem", "ca.pem");
    copy("new.pem", "client.pem");
    // Partly replaced files are not used; the old ones still get an answer.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_tells(&prober.probe(server.at).await, false, "L6RSP");
    copy("new.key", "client.key");
    let deadline = Instant::now() + TIMEOUT;
    let mut last = prober.probe(server.at).await;
    while last.success != Some(true) {
        assert!(Instant::now() < deadline, "the new files must be seen soon: {last:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        last = prober.probe(server.at).await;
    }
    assert_tells(&last, true, "L7OK/200");
}

#[tokio::test]
async fn an_ipv6_address_with_a_port_is_a_host() {
    let directory = TempDir::new().unwrap();
    certificate(directory.path(), "six", P256, " -addext subjectAltName=IP:2001:db8::1");
    let server = Server::start(directory.path(), "six", &[]).await;
    let host = |host: &str| CheckRequest {
        host: Some(host.to_owned()),
        ca: Some(directory.path().join("six.pem")),
        ..CheckRequest::default()
    };
    for named in ["[2001:db8::1]:8443", "[2001:db8::1]", "2001:db8::1"] {
        let outcome = patient(Probe::Https, host(named)).probe(server.at).await;
        assert_tells(&outcome, true, "L7OK/200");
    }
    let other = patient(Probe::Https, host("[2001:db8::2]:8443")).probe(server.at).await;
    assert_tells(&other, false, "L6RSP");
}

#[tokio::test]
async fn a_self_signed_certificate_that_is_named_is_trusted_and_no_other_of_a_ca() {
    let directory = TempDir::new().unwrap();
    let place = directory.path();
    certificate(place, "leaf", P256, " -addext subjectAltName=DNS:db.example");
    for name in ["ca", "other"] {
        let request = format!(
            "req -config req.cnf -x509 -new -key leaf.key -out {name}.pem -days 2 -subj /CN=same \
             -addext basicConstraints=critical,CA:TRUE -addext subjectAltName=DNS:db.example"
        );
        openssl(place, &request);
    }
    fs::copy(place.join("leaf.key"), place.join("ca.key")).unwrap();
    let server = Server::start(place, "ca", &[]).await;
    let request = |sni: &str, ca: &str| CheckRequest {
        sni: Some(sni.to_owned()),
        ca: Some(place.join(ca)),
        ..CheckRequest::default()
    };
    for (sni, ca, success, word) in [
        ("db.example", "ca.pem", true, "L6OK handshake"),
        ("other.example", "ca.pem", false, "L6RSP"),
        ("db.example", "other.pem", false, "L6RSP the server's certificate is that of a CA: name"),
    ] {
        let outcome = patient(Probe::Tls, request(sni, ca)).probe(server.at).await;
        assert_tells(&outcome, success, word);
    }
}

#[tokio::test]
async fn what_is_not_tls_is_shown() {
    let at = serving(b"220 mail ESMTP\r\n").await;
    let outcome = prober(Probe::Tls, careless()).probe(at).await;
    let word = r#"L6RSP not TLS: got "220 mail ESMTP\r\n""#;
    assert_tells(&outcome, false, word);
    let at = serving(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let plain = prober(Probe::Https, careless()).probe(at).await;
    assert_tells(&plain, false, r#"L6RSP not TLS (plain HTTP?): got "HTTP/1.1 400"#);
    let silent = prober(Probe::Tls, careless()).probe(serving(b"").await).await;
    assert_tells(&silent, false, "L6RSP the server closed the connection without an answer");
}
