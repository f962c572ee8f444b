use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Header, Validation};
use serde::de::DeserializeOwned;
use tidings_protocol::Object;

use super::jwks::Jwks;
use super::keys::KeySet;
use super::{InvalidJwksUrl, JwksTimes, Key, bad, no_token};
use crate::api::problem::Refusal;
use crate::defaults;

/// Checks whether tokens are signed with keys that it knows, and valid now.
#[derive(Debug)]
pub struct TokenVerifier {
    keys: KeySet,
    jwks: Option<Jwks>,
    audience: Option<String>,
    issuer: Option<String>,
    /// Whether each token has to have an end.
    needs_end: bool,
}

/// A token that is valid.
#[derive(Debug, Clone)]
pub struct Verified<T> {
    /// The type that its header names (`typ`).
    pub token_type: Option<String>,
    /// What it says.
    pub claims: T,
}

// === impl TokenVerifier ===

impl Default for TokenVerifier {
    /// Knows no keys.
    fn default() -> Self {
        Self { keys: KeySet::new(Vec::new()), jwks: None, audience: None, issuer: None, needs_end: true }
    }
}

impl TokenVerifier {
    /// Knows these keys, and those that are published at a URL.
    ///
    /// # Errors
    /// [`InvalidJwksUrl`] where the keys could never be fetched.
    pub fn new(keys: Vec<Key>, jwks_url: Option<&str>, times: JwksTimes) -> Result<Self, InvalidJwksUrl> {
        let jwks = jwks_url.map(|url| Jwks::new(url, times)).transpose()?;
        Ok(Self { keys: KeySet::new(keys), jwks, ..Self::default() })
    }

    /// Says for whom tokens have to be (`aud`), and from whom (`iss`).
    #[must_use]
    pub fn required(self, audience: Option<String>, issuer: Option<String>) -> Self {
        Self { audience, issuer, ..self }
    }

    /// Takes tokens without an end (`exp`) as well. One that is there is obeyed.
    #[must_use]
    pub fn endless(self) -> Self {
        Self { needs_end: false, ..self }
    }

    /// Whether there is a key that a token can be signed with.
    pub(crate) fn knows_keys(&self) -> bool {
        self.keys.len() > 0 || self.jwks.is_some()
    }

    /// Fetches the keys that are published elsewhere, where there are any, so that the first token need not wait.
    pub async fn warm(&self) {
        if let Some(jwks) = &self.jwks {
            jwks.warm().await;
        }
    }

    /// What a token says.
    ///
    /// # Errors
    /// A [`Refusal`] with 401, where it is not valid; it says why.
    pub async fn verify<T: DeserializeOwned>(&self, token: &str) -> Result<Verified<T>, Refusal> {
        if token.len() > defaults::TOKEN_BYTES {
            return Err(bad(format!("it is longer than {} bytes", defaults::TOKEN_BYTES)));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| malformed(&error))?;
        if has_critical(token).ok_or_else(no_token)? {
            return Err(bad(
                "its header has a `crit` that this hub does not understand (RFC 7515, section 4.1.11)",
            ));
        }
        let mut claims = self.decode(token, &header, &self.keys)?;
        if claims.is_none()
            && let Some(jwks) = &self.jwks
        {
            claims = self.decode(token, &header, &*jwks.keys_for(&header).await?)?;
        }
        let claims = claims.ok_or_else(|| bad("it is not signed with a key that this hub knows"))?;
        Ok(Verified { token_type: header.typ, claims })
    }

    /// What a token says; `None` where none of the keys has signed it.
    fn decode<T: DeserializeOwned>(
        &self,
        token: &str,
        header: &Header,
        keys: &KeySet,
    ) -> Result<Option<T>, Refusal> {
        for key in keys.candidates(header) {
            let mut validation = Validation::new(key.algorithm());
            validation.leeway = defaults::TOKEN_LEEWAY.as_secs();
            validation.validate_nbf = true;
            let mut required = Vec::new();
            if self.needs_end {
                required.push("exp");
            }
            validation.validate_aud = self.audience.is_some();
            if let Some(audience) = &self.audience {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            if let Some(issuer) = &self.issuer {
                validation.set_issuer(&[issuer]);
                required.push("iss");
            }
            validation.set_required_spec_claims(&required);
            match jsonwebtoken::decode::<T>(token, key.decoding(), &validation) {
                Ok(data) => return Ok(Some(data.claims)),
                Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {}
                Err(error) => return Err(self.complaint(&error)),
            }
        }
        Ok(None)
    }

    fn complaint(&self, error: &Error) -> Refusal {
        match error.kind() {
            ErrorKind::ExpiredSignature => bad("it has expired; get a new one"),
            ErrorKind::ImmatureSignature => bad("it is not valid yet; see its `nbf`"),
            ErrorKind::InvalidAudience => {
                bad(format!("its `aud` is not `{}`", self.audience.as_deref().unwrap_or_default()))
            }
            ErrorKind::InvalidIssuer => {
                bad(format!("its `iss` is not `{}`", self.issuer.as_deref().unwrap_or_default()))
            }
            ErrorKind::MissingRequiredClaim(claim) => bad(format!("it has no `{claim}`")),
            ErrorKind::InvalidClaimFormat(claim) => bad(format!("its `{claim}` is malformed")),
            ErrorKind::Json(error) => bad(format!("its claims are malformed: {error}")),
            _ => bad("it is malformed, or not signed with a key that this hub knows"),
        }
    }
}

/// Whether a token is only to be accepted by who understands more than the hub does. `None` where it has no header that
/// says so plainly.
fn has_critical(token: &str) -> Option<bool> {
    #[derive(serde::Deserialize)]
    struct Critical {
        crit: Option<serde::de::IgnoredAny>,
    }
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    let Object(Critical { crit }) = serde_json::from_slice(&header).ok()?;
    Some(crit.is_some())
}

fn malformed(error: &Error) -> Refusal {
    match error.kind() {
        ErrorKind::Json(_) | ErrorKind::InvalidAlgorithmName => {
            bad("its header names no algorithm that this hub takes: HS256, RS256, ES256 or EdDSA")
        }
        _ => no_token(),
    }
}
