//! The curve P-521 for TLS: a server whose certificate is of it asks in TLS 1.2 that clients have it.

use p521::{PublicKey, SecretKey, ecdh::diffie_hellman, elliptic_curve::sec1::ToEncodedPoint as _};
use rustls::{
    Error, NamedGroup, PeerMisbehaved,
    crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup},
};

/// Bytes of a secret key, of whose first bits only one may be set.
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

/// Almost every number that is drawn is a key.
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
