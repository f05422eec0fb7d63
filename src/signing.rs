//! HMAC signatures of JWTs by `ring`, which TLS brings along anyway.
//!
//! `jsonwebtoken` finds its cryptography once for the process. The one it offers itself covers RSA and elliptic curves as
//! well, for which this server has no use.

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
    signature::{Error, Signer, Verifier},
};
use ring::hmac;

/// Signatures of HS256, HS384 and HS512; every other algorithm is refused.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key: &EncodingKey| Ok(Box::new(Hmac::new(*algorithm, key.family(), key.as_bytes())?)),
    verifier_factory: |algorithm, key: &DecodingKey| {
        Ok(Box::new(Hmac::new(*algorithm, key.family(), key.try_get_as_bytes()?)?))
    },
    // Keys come from settings, never from a JWK.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Chooses the cryptography of JWTs for the process. Every place that signs or verifies calls it first; only the first call
/// has an effect.
pub fn install() {
    // An error means that an earlier call has installed it.
    let _ = PROVIDER.install_default();
}

/// Key of one HMAC algorithm.
struct Hmac {
    algorithm: Algorithm,
    key: hmac::Key,
}

impl Hmac {
    fn new(algorithm: Algorithm, family: AlgorithmFamily, secret: &[u8]) -> Result<Self> {
        // A public key must never be taken for a shared secret.
        if family != AlgorithmFamily::Hmac {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        let by = match algorithm {
            Algorithm::HS256 => hmac::HMAC_SHA256,
            Algorithm::HS384 => hmac::HMAC_SHA384,
            Algorithm::HS512 => hmac::HMAC_SHA512,
            _ => return Err(ErrorKind::InvalidAlgorithm.into()),
        };
        Ok(Self { algorithm, key: hmac::Key::new(by, secret) })
    }
}

impl Signer<Vec<u8>> for Hmac {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(hmac::sign(&self.key, message).as_ref().to_vec())
    }
}

impl JwtSigner for Hmac {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Hmac {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        // In constant time.
        hmac::verify(&self.key, message, signature).map_err(|_unspecified| Error::new())
    }
}

impl JwtVerifier for Hmac {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::crypto::{sign, verify};

    use super::*;

    #[test]
    fn signatures_are_those_of_the_published_examples() {
        install();
        // RFC 7515, appendix A.1.
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let (encoding, decoding) =
            (EncodingKey::from_base64_secret(&standard(key)).unwrap(), DecodingKey::from_base64_secret(&standard(key)));
        assert_eq!(sign(message.as_bytes(), &encoding, Algorithm::HS256).unwrap(), signature);
        let decoding = decoding.unwrap();
        let verifies = |signature: &str, message: &str, algorithm| {
            verify(signature, message.as_bytes(), &decoding, algorithm).unwrap_or(false)
        };
        assert!(verifies(signature, message, Algorithm::HS256));
        assert!(!verifies(signature, &message[1..], Algorithm::HS256), "another message");
        assert!(!verifies(&signature[..42], message, Algorithm::HS256), "a signature that was cut");
        for other in [Algorithm::HS384, Algorithm::HS512, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
            assert!(!verifies(signature, message, other), "{other:?}");
        }
    }

    /// base64url as base64, with its padding.
    fn standard(text: &str) -> String {
        let text = text.replace('-', "+").replace('_', "/");
        format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4))
    }

    #[test]
    fn each_algorithm_verifies_what_it_has_signed_and_nothing_else() {
        install();
        let (encoding, decoding) = (EncodingKey::from_secret(b"key"), DecodingKey::from_secret(b"key"));
        let algorithms = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        for by in algorithms {
            let signature = sign(b"message", &encoding, by).unwrap();
            for other in algorithms {
                let verifies = verify(&signature, b"message", &decoding, other).unwrap();
                assert_eq!(verifies, by == other, "{by:?} {other:?}");
            }
            assert!(!verify(&signature, b"message", &DecodingKey::from_secret(b"other"), by).unwrap());
        }
        assert!(sign(b"message", &encoding, Algorithm::RS256).is_err());
        let public = DecodingKey::from_ec_der(b"key");
        assert!(verify("c2ln", b"message", &public, Algorithm::HS256).is_err(), "a key of another family");
    }
}
