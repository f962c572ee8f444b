use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Deserialize as _;
use serde_json::Value;
use tidings_protocol::Object;

use crate::api::query::shown;
use crate::defaults;

/// A key that tokens may be signed with. It goes with one algorithm, whatever a token says, so that a public key can never
/// be taken for a secret.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

/// The key is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// A secret that could be guessed.
    #[error("the secret has {bytes} bytes; HS256 takes at least {least} random ones (RFC 7518, section 3.2)")]
    Short {
        /// How long it is.
        bytes: usize,
        /// How long it should be.
        least: usize,
    },
    /// Not a public key in PEM.
    #[error(
        "no public key of RSA (2,048 bits or more), P-256 or Ed25519 in PEM (`-----BEGIN PUBLIC KEY-----`)"
    )]
    Pem,
}

/// Keys, found by what a token says of its own.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

const PEM_LABELS: [&str; 2] = ["-----BEGIN PUBLIC KEY-----", "-----BEGIN RSA PUBLIC KEY-----"];
/// The modulus of a key of 2,048 bits.
const RSA_BYTES: usize = 256;
/// A point of the curve, not compressed.
const P256_BYTES: usize = 65;
const ED25519_BYTES: usize = 32;
/// A coordinate of P-256, and a point of Ed25519.
const COORDINATE_BYTES: usize = 32;

// === impl Key ===

impl Key {
    /// A secret that is shared with whoever signs, for HS256.
    ///
    /// # Errors
    /// [`InvalidKey::Short`].
    pub fn hs256(secret: &[u8]) -> Result<Self, InvalidKey> {
        let least = defaults::SECRET_BYTES;
        if secret.len() < least {
            return Err(InvalidKey::Short { bytes: secret.len(), least });
        }
        let decoding = DecodingKey::from_secret(secret);
        Ok(Self { id: None, algorithm: Algorithm::HS256, decoding })
    }

    /// The public keys in a text of PEM, each for the algorithm of its kind: RS256, ES256 or EdDSA.
    ///
    /// # Errors
    /// [`InvalidKey::Pem`] where one of them is something else, or there is none.
    pub fn from_pem(text: &str) -> Result<Vec<Self>, InvalidKey> {
        const BEGIN: &str = "-----BEGIN";
        let keys: Vec<_> = text
            .match_indices(BEGIN)
            .map(|(at, _)| {
                let rest = &text[at..];
                let end = rest[BEGIN.len()..].find(BEGIN).map_or(rest.len(), |end| end + BEGIN.len());
                Self::from_one_pem(&rest.as_bytes()[..end])
            })
            .collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(InvalidKey::Pem) } else { Ok(keys) }
    }

    fn from_one_pem(pem: &[u8]) -> Result<Self, InvalidKey> {
        // The library takes a private key for its public one, and a curve for another.
        if !PEM_LABELS.iter().any(|label| pem.starts_with(label.as_bytes())) {
            return Err(InvalidKey::Pem);
        }
        let fits = |key: &Self| {
            let bytes = key.decoding.try_get_as_bytes().map_or(0, <[u8]>::len);
            match key.algorithm {
                Algorithm::RS256 => bytes >= RSA_BYTES,
                Algorithm::ES256 => bytes == P256_BYTES,
                _ => bytes == ED25519_BYTES,
            }
        };
        let kinds = [
            (Algorithm::RS256, DecodingKey::from_rsa_pem as fn(&[u8]) -> _),
            (Algorithm::ES256, DecodingKey::from_ec_pem),
            (Algorithm::EdDSA, DecodingKey::from_ed_pem),
        ];
        kinds
            .into_iter()
            .find_map(|(algorithm, read)| Some(Self { id: None, algorithm, decoding: read(pem).ok()? }))
            .filter(fits)
            .ok_or(InvalidKey::Pem)
    }

    /// A key of a published set, where it is a public one for signatures and of a kind that is taken here. A secret that
    /// is published is none.
    ///
    /// # Errors
    /// Where it says that it is one, and its numbers cannot be.
    fn from_jwk(jwk: &Jwk) -> Result<Option<Self>, String> {
        let (algorithm, declared) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => return Ok(None),
        };
        let common = &jwk.common;
        let fits = common.key_algorithm.is_none_or(|own| own == declared)
            && common.public_key_use.as_ref().is_none_or(|own| *own == PublicKeyUse::Signature);
        if !fits {
            return Ok(None);
        }
        check_numbers(&jwk.algorithm)?;
        let decoding = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
        Ok(Some(Self { id: common.key_id.clone(), algorithm, decoding }))
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Refuses numbers of which no signature could come, which would otherwise be found out with the first token.
fn check_numbers(key: &AlgorithmParameters) -> Result<(), String> {
    let bytes = |name: &str, text: &str| {
        URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("`{name}` is not base64url: {error}"))
    };
    let exactly = |name: &str, text: &str| match bytes(name, text)?.len() {
        COORDINATE_BYTES => Ok(()),
        other => Err(format!("`{name}` has {other} bytes, and {COORDINATE_BYTES} are right")),
    };
    match key {
        AlgorithmParameters::RSA(key) => {
            bytes("e", &key.e)?;
            let modulus = bytes("n", &key.n)?;
            let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
            if modulus.len() - zeros < RSA_BYTES {
                return Err("`n` has fewer than 2,048 bits".to_owned());
            }
            Ok(())
        }
        AlgorithmParameters::EllipticCurve(key) => exactly("x", &key.x).and_then(|()| exactly("y", &key.y)),
        AlgorithmParameters::OctetKeyPair(key) => exactly("x", &key.x),
        _ => Ok(()),
    }
}

// === impl KeySet ===

impl KeySet {
    pub(super) fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    /// The keys of a published set that are of use here, and which of its entries are no keys that could be understood.
    /// Such are passed over (RFC 7517 §5), as others are that may be for others.
    pub(super) fn from_jwks(entries: &[Value]) -> (Self, Vec<String>) {
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (place, entry) in entries.iter().enumerate() {
            let read = Object::<Jwk>::deserialize(entry).map_err(|error| error.to_string());
            match read.and_then(|Object(jwk)| Key::from_jwk(&jwk)) {
                Ok(key) => keys.extend(key),
                Err(error) => {
                    let name = entry.get("kid").and_then(Value::as_str);
                    let name = name
                        .map_or_else(|| format!("number {}", place + 1), |name| format!("`{}`", shown(name)));
                    skipped.push(format!("{name}: {error}"));
                }
            }
        }
        (Self(keys), skipped)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys that a token may be signed with: of its algorithm, and where both it and the key name one, of its name.
    pub(super) fn candidates(&self, header: &Header) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(|key| {
            let named = key.id.as_ref().zip(header.kid.as_ref());
            key.algorithm == header.alg && named.is_none_or(|(own, wanted)| own == wanted)
        })
    }

    pub(super) fn knows(&self, header: &Header) -> bool {
        self.candidates(header).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_whose_numbers_cannot_be_is_told_of() {
        let point = "A".repeat(43);
        let p256 = |x: &str| json!({"kty": "EC", "crv": "P-256", "x": x, "y": point, "kid": "odd"});
        let rsa = |n: &str| json!({"kty": "RSA", "n": n, "e": "AQAB", "kid": "odd"});
        let ed25519 = |x: &str| json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "odd"});
        for entry in [p256("AAAA"), p256("!"), p256(""), rsa("AQAB"), rsa("not base64"), ed25519("AA")] {
            let (keys, skipped) = KeySet::from_jwks(std::slice::from_ref(&entry));
            assert_eq!((keys.len(), skipped.len()), (0, 1), "{entry}");
            assert!(skipped[0].starts_with("`odd`: "), "{skipped:?}");
        }
        // What is for others is nothing to tell of.
        let mut elsewhere = p256("AAAA");
        elsewhere["use"] = json!("enc");
        let (keys, skipped) = KeySet::from_jwks(&[elsewhere, json!({"kty": "oct", "k": "AA"})]);
        assert_eq!((keys.len(), skipped.len()), (0, 0));
        assert_eq!(KeySet::from_jwks(&[ed25519(&point), rsa(&"w".repeat(342))]).0.len(), 2);
    }
}
