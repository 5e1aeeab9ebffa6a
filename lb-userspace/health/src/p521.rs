//! The curve P-521 for TLS: in TLS 1.2, a server with a P-521 certificate requires clients to
//! support it.

use p521::{PublicKey, SecretKey, ecdh::diffie_hellman, elliptic_curve::sec1::ToEncodedPoint as _};
use rustls::{
    Error, NamedGroup, PeerMisbehaved,
    crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup},
};

/// Length of a secret key in bytes. Only the lowest bit of the first byte may be set.
const LENGTH: usize = 66;

#[derive(Debug)]
pub(super) struct P521;

struct Exchange {
    secret: SecretKey,
    public: Box<[u8]>,
}

impl SupportedKxGroup for P521 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = secret()?;
        let public = secret.public_key().to_encoded_point(false).as_bytes().into();
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

/// Draws a random key; almost every number is valid.
fn secret() -> Result<SecretKey, Error> {
    loop {
        let mut bytes = [0; LENGTH];
        getrandom::fill(&mut bytes).map_err(|_| GetRandomFailed)?;
        bytes[0] &= 1;
        if let Ok(secret) = SecretKey::from_slice(&bytes) {
            return Ok(secret);
        }
    }
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = PublicKey::from_sec1_bytes(peer);
        let peer = peer.map_err(|_| Error::from(PeerMisbehaved::InvalidKeyShare))?;
        let shared = diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        Ok(SharedSecret::from(shared.raw_secret_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}
