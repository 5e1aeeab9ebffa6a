//! Verification of server certificates that a check pins in `ca`.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        VerifierBuilderError, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

/// Trusts certificates signed by the CAs, and the pinned certificates themselves: a self-signed one
/// is most often a CA's, too, which is otherwise refused for a server.
#[derive(Debug)]
pub(super) struct Pinned {
    by_authorities: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl Pinned {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        named: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let builder = WebPkiServerVerifier::builder_with_provider(roots, provider);
        Ok(Self { by_authorities: builder.build()?, named })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.by_authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // The validity period has been checked before that.
            Err(error) if is_of_a_ca(&error) && self.named.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authorities.supported_verify_schemes()
    }
}

/// Returns true if a server's certificate is refused for being a CA's. rustls has no variant for
/// that.
pub(super) fn is_of_a_ca(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(reason)) = error else { return false };
    reason.to_string().contains("CaUsedAsEndEntity")
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use rustls::crypto::ring;

    use super::*;

    /// Verifies a pinned self-signed CA certificate that expires in this year.
    fn is_trusted(last_year: i32) -> Result<(), Error> {
        let mut parameters = CertificateParams::new(["db.example".to_owned()]).expect("a name");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(last_year, 1, 1);
        let certificate = parameters.self_signed(&KeyPair::generate().expect("a key"));
        let certificate = certificate.expect("signed").der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("an authority");
        let provider = Arc::new(ring::default_provider());
        let pinned = Pinned::new(Arc::new(roots), vec![certificate.clone()], provider);
        let name = ServerName::try_from("db.example").expect("a name");
        let verified = pinned.expect("roots").verify_server_cert(
            &certificate,
            &[],
            &name,
            &[],
            UnixTime::now(),
        );
        verified.map(drop)
    }

    #[test]
    fn a_certificate_that_is_named_is_trusted_until_it_expires() {
        assert_eq!(is_trusted(4_000), Ok(()));
        let expired = is_trusted(2_021).expect_err("expired");
        assert!(matches!(
            expired,
            Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. }
            )
        ));
    }
}
