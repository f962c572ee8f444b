//! Who may do what, from the settings.

use tidings_http::{Auth, AuthConfig, CloseRight, InvalidJwksUrl, InvalidKey, JwksTimes, Key, Rights};
use tidings_protocol::Selector;

use crate::settings::ConfigError;
use crate::settings::auth::{
    AnonymousSettings, AuthSettings, Close, PUBLIC_KEY_VARIABLE, SecretError, unreadable, variable,
};

/// Tokens cannot be checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthSetupError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("failed to set `{name}`: there is no key that tokens could be signed with; set one as well")]
    NoKey { name: &'static str },
    #[error("failed to take the key in {place}: {source}")]
    Key { place: String, source: InvalidKey },
    #[error("failed to set `auth-jwks-url`: {0}")]
    Jwks(#[from] InvalidJwksUrl),
}

// === impl AuthSettings ===

impl AuthSettings {
    /// Who may do what; `None` where nothing says so.
    pub(crate) fn auth(&self) -> Result<Option<Auth>, AuthSetupError> {
        let mut keys = Vec::new();
        if let Some((place, secret)) = self.secret()? {
            keys.push(Key::hs256(&secret).map_err(|source| AuthSetupError::Key { place, source })?);
        }
        for (place, text) in self.public_keys()? {
            keys.extend(Key::from_pem(&text).map_err(|source| AuthSetupError::Key { place, source })?);
        }
        let AnonymousSettings { publish, subscribe, close, delete, relay, list, metrics } = &self.anonymous;
        let is_set = [publish, subscribe, close, delete].iter().any(|selectors| selectors.is_some())
            || relay.is_some()
            || list.is_some()
            || metrics.is_some();
        if keys.is_empty() && self.jwks_url.is_none() {
            // Whoever set these means to ask for tokens.
            let tokens = [
                ("auth-audience", &self.audience),
                ("auth-issuer", &self.issuer),
                ("auth-cookie", &self.cookie),
            ];
            if let Some((name, _)) = tokens.into_iter().find(|(_, value)| value.is_some()) {
                return Err(AuthSetupError::NoKey { name });
            }
            if self.close == Some(Close::Claim) && !is_set {
                return Err(AuthSetupError::NoKey { name: "auth-close" });
            }
            if !is_set {
                return Ok(None);
            }
        }
        let anonymous = Rights {
            publish: selectors("auth-anonymous-publish", publish.as_deref())?,
            subscribe: selectors("auth-anonymous-subscribe", subscribe.as_deref())?,
            close: selectors("auth-anonymous-close", close.as_deref())?,
            delete: selectors("auth-anonymous-delete", delete.as_deref())?,
            relay: relay.clone().unwrap_or_default(),
            list: list.unwrap_or(true),
            metrics: metrics.unwrap_or(false),
        };
        Ok(Some(Auth::new(AuthConfig {
            keys,
            jwks_url: self.jwks_url.clone(),
            jwks_times: JwksTimes::default(),
            audience: self.audience.clone(),
            issuer: self.issuer.clone(),
            cookie: self.cookie.clone(),
            anonymous,
            close: match self.close {
                Some(Close::Claim) => CloseRight::Claim,
                Some(Close::Publish) | None => CloseRight::Publish,
            },
        })?))
    }

    fn public_keys(&self) -> Result<Vec<(String, String)>, SecretError> {
        let mut texts = Vec::new();
        if let Some(path) = &self.public_key_file {
            let text = std::fs::read_to_string(path).map_err(unreadable(path))?;
            texts.push((path.display().to_string(), text));
        }
        texts.extend(variable(PUBLIC_KEY_VARIABLE)?.map(|text| (PUBLIC_KEY_VARIABLE.to_owned(), text)));
        Ok(texts)
    }
}

pub(super) fn selectors(name: &'static str, texts: Option<&[String]>) -> Result<Vec<Selector>, ConfigError> {
    let read = |text: &String| {
        Selector::new(text)
            .map_err(|error| ConfigError::Value { name, problem: format!("`{text}`: {error}") })
    };
    texts.unwrap_or_default().iter().map(read).collect()
}
