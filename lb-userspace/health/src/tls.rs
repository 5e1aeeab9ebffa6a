//! TLS for the probes of type `tls` and `https`.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
};

use lb_model::CheckRequest;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    fault::Fault,
    files,
    heard::{Heard, Listened},
    host::Host,
    outcome::{Failure, wrong_protocol},
    pinned::Pinned,
    unverified::{self, Unverified},
};

/// Beginnings of a server's first record: an alert, or a handshake message.
pub(super) const RECORDS: [&[u8]; 2] = [&[21, 3], &[22, 3]];

pub(super) struct Tls {
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    pub(super) fn new(request: &CheckRequest) -> Result<Self, Fault> {
        let name = verify(request)?;
        let is_verified = request.verify != Some(false);
        let provider = if is_verified { ring::default_provider() } else { unverified::provider() };
        let provider = Arc::new(provider);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::new("type", &error))?;
        let builder = match &request.ca {
            _ if !is_verified => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified))
            }
            Some(ca) => {
                let (named, roots) = named(ca)?;
                // Without a usable trust anchor, no server is trusted.
                match Pinned::new(Arc::clone(&roots), named, provider) {
                    Ok(pinned) => {
                        builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned))
                    }
                    Err(_) => builder.with_root_certificates(roots),
                }
            }
            None => builder.with_root_certificates(system_roots()?),
        };
        let mut config = match (&request.certificate, &request.key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates("certificate", certificate)?;
                let config = builder.with_client_auth_cert(chain, private_key(key)?);
                config.map_err(|error| Fault::new("certificate", &error))?
            }
            _ => builder.with_no_client_auth(),
        };
        // A resumed session would not show that the certificate has expired since.
        config.resumption = Resumption::disabled();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    pub(super) async fn shake_hands(
        &self,
        stream: TcpStream,
        at: SocketAddr,
        heard: &Heard,
    ) -> Result<TlsStream<Listened<TcpStream>>, Failure> {
        let name = self.name.clone().unwrap_or_else(|| ServerName::from(at.ip()));
        let connected = self.connector.connect(name, heard.listen_to(stream)).await;
        connected.map_err(|error| {
            let is_record = |record: &&[u8]| !heard.is_other_than(record);
            let is_tls = !heard.is_nothing() && RECORDS.iter().any(is_record);
            if is_tls {
                Failure::new("L6RSP", &plain(&error))
            } else {
                wrong_protocol("TLS", "L6RSP", heard)
            }
        })
    }
}

/// Describes an error, in plain words where rustls has none.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    if text.contains("CaUsedAsEndEntity") {
        return "the server's certificate is that of a CA: name that very certificate in `ca`, or have \
                the CA issue one for the server"
            .to_owned();
    }
    text
}

/// Validates a check without reading files. Returns the name that the certificate must be for, if
/// not the address.
pub(super) fn verify(request: &CheckRequest) -> Result<Option<ServerName<'static>>, Fault> {
    match (&request.certificate, &request.key) {
        (None, Some(_)) => {
            let lonely = Fault::new("key", &"a key needs its certificate");
            return Err(lonely.fix("set `certificate` too"));
        }
        (Some(_), None) => {
            let lonely = Fault::new("certificate", &"a certificate needs its key");
            return Err(lonely.fix("set `key` too"));
        }
        _ => {}
    }
    let (key, name) = match (&request.sni, &request.host) {
        (Some(sni), _) => ("sni", sni.clone()),
        (None, Some(host)) => ("host", Host::new(host)?.name),
        (None, None) => return Ok(None),
    };
    let name = ServerName::try_from(name).map(Some);
    name.map_err(|error| Fault::new(key, &error).fix("`sni` is the name in the certificate"))
}

/// Reads the certificates of a file, and those of them that can be a CA's.
fn named(file: &Path) -> Result<(Vec<CertificateDer<'static>>, Arc<RootCertStore>), Fault> {
    let named = certificates("ca", file)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(named.iter().cloned());
    Ok((named, Arc::new(roots)))
}

/// Reads the host's CA certificates, which are many, once.
fn system_roots() -> Result<Arc<RootCertStore>, Fault> {
    static KNOWN: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(Arc::clone(known));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Fault::missing("ca", &"this host has no trusted certificates")
            .fix("install ca-certificates, or set `ca`, or verify = false"));
    }
    Ok(Arc::clone(KNOWN.get_or_init(|| Arc::new(roots))))
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let bytes = contents(key, file)?;
    let read = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|error| Fault::new(key, &unreadable(file, &error)))?;
    if read.is_empty() {
        return Err(Fault::new(key, &format!("{} contains no PEM certificate", file.display())));
    }
    Ok(read)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let bytes = contents("key", file)?;
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| Fault::new("key", &unreadable(file, &error)))
}

fn contents(key: &'static str, file: &Path) -> Result<Vec<u8>, Fault> {
    files::read(file).map_err(|error| {
        let fault = Fault::new(key, &unreadable(file, &error));
        if error.kind() != ErrorKind::PermissionDenied {
            return fault;
        }
        fault.fix("make it readable for the daemon's user, or pass it by `LoadCredential=`")
    })
}

fn unreadable(file: &Path, error: &impl ToString) -> String {
    format!("cannot read {}: {}", file.display(), error.to_string())
}
