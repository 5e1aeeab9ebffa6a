//! TLS, as the probes of type `tls` and `https` speak it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject as _},
    },
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::probe::{Failure, Fault};
use crate::model::CheckRequest;

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
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::new("type", &error))?;
        let builder = if request.verify == Some(false) {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anything(provider)))
        } else {
            builder.with_root_certificates(roots(request.ca.as_deref())?)
        };
        let mut config = match (&request.certificate, &request.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = certificates("certificate", certificate)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| Fault::new("key", &unreadable(key, &error)))?;
                let config = builder.with_client_auth_cert(chain, key);
                config.map_err(|error| Fault::new("certificate", &error))?
            }
            (None, Some(_)) => {
                let lonely = Fault::new("key", &"a key is of no use without a certificate");
                return Err(lonely.mend("give its `certificate` as well"));
            }
            (Some(_), None) => {
                let lonely = Fault::new("certificate", &"a certificate is of no use without a key");
                return Err(lonely.mend("give its `key` as well"));
            }
        };
        // A session that is resumed would say nothing of a certificate that has expired since.
        config.resumption = Resumption::disabled();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name: name(request)? })
    }

    pub(super) async fn shake_hands(
        &self,
        stream: TcpStream,
        at: SocketAddr,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let name = self.name.clone().unwrap_or_else(|| ServerName::from(at.ip()));
        let connected = self.connector.connect(name, stream).await;
        connected.map_err(|error| Failure::new("L6RSP", &error))
    }
}

/// Whom the certificate must be for, if not for the address.
fn name(request: &CheckRequest) -> Result<Option<ServerName<'static>>, Fault> {
    let (key, name) = match (&request.sni, &request.host) {
        (Some(sni), _) => ("sni", sni.as_str()),
        (None, Some(host)) => ("host", without_port(host)),
        (None, None) => return Ok(None),
    };
    let name = ServerName::try_from(name.to_owned()).map(Some);
    name.map_err(|error| Fault::new(key, &error).mend("`sni` is the name in the certificate"))
}

fn without_port(host: &str) -> &str {
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name)
}

fn roots(file: Option<&Path>) -> Result<Arc<RootCertStore>, Fault> {
    let Some(file) = file else { return system_roots() };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates("ca", file)?);
    Ok(Arc::new(roots))
}

/// They are many, and read once.
fn system_roots() -> Result<Arc<RootCertStore>, Fault> {
    static KNOWN: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(Arc::clone(known));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Fault::missing("ca", &"this system trusts no certificates")
            .mend("install ca-certificates, give a file of your own, or verify = false"));
    }
    Ok(Arc::clone(KNOWN.get_or_init(|| Arc::new(roots))))
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|error| Fault::new(key, &unreadable(file, &error)))?;
    if read.is_empty() {
        return Err(Fault::new(key, &format!("{} has no certificate in PEM", file.display())));
    }
    Ok(read)
}

fn unreadable(file: &Path, error: &pem::Error) -> String {
    format!("cannot read {}: {error}", file.display())
}

/// Takes every certificate, but no forged handshake.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn a_host_may_have_a_port() {
        for (host, name) in [("db:443", "db"), ("db", "db"), ("db:x", "db:x")] {
            assert_eq!(without_port(host), name);
        }
    }
}
