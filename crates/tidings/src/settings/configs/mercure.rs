//! Mercure, from the settings.

use std::path::Path;

use tidings_http::{Auth, InvalidKey, JwksTimes, Key};
use tidings_mercure::{InvalidMercure, Mercure, MercureConfig, MercureKeys};
use tidings_protocol::Selector;

use super::auth::selectors;
use crate::settings::ConfigError;
use crate::settings::Settings;
use crate::settings::auth::{SecretError, of_file, unreadable, variable};
use crate::settings::mercure::{MERCURE_VARIABLES, MercureSettings};

/// Mercure cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MercureSetupError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("failed to take the key in {place}: {source}")]
    Key { place: String, source: InvalidKey },
    #[error("failed to set `[mercure]`: {0}")]
    Mercure(#[from] InvalidMercure),
    #[error(
        "failed to set `mercure-public-topics`: `[auth]` says who may use this hub, so say which topics' events everybody may read \
         whom `[mercure]` lets in: `**` is every event that is published here, by whichever protocol"
    )]
    PublicTopics,
    #[error(
        "failed to set `auth-anonymous-subscribe`: `{0}` lets everybody read private updates of Mercure, which are below \
         `mercure.private/` and `mercure.private-more/`; name what everybody may read"
    )]
    PrivateUpdates(String),
}

const PRIVATE: [&str; 2] = ["mercure.private", "mercure.private-more"];

// === impl Settings ===

impl Settings {
    /// Mercure, where it is set up. `auth` is who may use the hub besides.
    pub(crate) fn mercure(&self, auth: Option<&Auth>) -> Result<Option<Mercure>, MercureSetupError> {
        let own = &self.mercure;
        let publisher = own.publisher()?;
        if publisher.is_none() {
            return match *own == MercureSettings::default() {
                true => Ok(None),
                false => Err(InvalidMercure::NoKey.into()),
            };
        }
        let subscriber = own.subscriber()?;
        if auth.is_some() {
            if own.public_topics.is_none() {
                return Err(MercureSetupError::PublicTopics);
            }
            let everybody = selectors("auth-anonymous-subscribe", self.auth.anonymous_subscribe())?;
            if let Some(open) = everybody.iter().find(|selector| reads_private(selector)) {
                return Err(MercureSetupError::PrivateUpdates(open.to_string()));
            }
        }
        let base = MercureConfig::new(publisher.unwrap_or_default());
        let public_topics = match own.public_topics.as_deref() {
            Some(texts) => selectors("mercure-public-topics", Some(texts))?,
            None => base.public_topics.clone(),
        };
        Ok(Some(Mercure::new(MercureConfig {
            subscriber,
            anonymous: own.anonymous.unwrap_or(false),
            cookie: own.cookie.clone(),
            subscriptions: own.subscriptions.unwrap_or(false),
            public_topics,
            public_url: own.public_url.clone(),
            audience: own.audience.clone(),
            ..base
        })?))
    }
}

/// Whether a selector matches private updates.
fn reads_private(selector: &Selector) -> bool {
    let first = selector.as_str().split('/').next().unwrap_or_default();
    first == "*" || first == "**" || PRIVATE.contains(&first)
}

// === impl MercureSettings ===

impl MercureSettings {
    fn publisher(&self) -> Result<Option<MercureKeys>, MercureSetupError> {
        let [secret, key, ..] = MERCURE_VARIABLES;
        keys(
            self.publisher_hs256_secret_file.as_deref(),
            self.publisher_public_key_file.as_deref(),
            self.publisher_jwks_url.as_deref(),
            [secret, key],
        )
    }

    fn subscriber(&self) -> Result<Option<MercureKeys>, MercureSetupError> {
        let [.., secret, key] = MERCURE_VARIABLES;
        keys(
            self.subscriber_hs256_secret_file.as_deref(),
            self.subscriber_public_key_file.as_deref(),
            self.subscriber_jwks_url.as_deref(),
            [secret, key],
        )
    }
}

/// The keys that are in two files, at a URL, and in two variables; `None` where there are none.
fn keys(
    secret_file: Option<&Path>,
    key_file: Option<&Path>,
    jwks_url: Option<&str>,
    [secret_variable, key_variable]: [&'static str; 2],
) -> Result<Option<MercureKeys>, MercureSetupError> {
    let mut keys = Vec::new();
    let secret = match secret_file {
        Some(path) => {
            let secret = std::fs::read(path).map_err(unreadable(path))?;
            Some((path.display().to_string(), of_file(secret)))
        }
        None => variable(secret_variable)?.map(|secret| (secret_variable.to_owned(), secret.into_bytes())),
    };
    if let Some((place, secret)) = secret {
        keys.push(Key::hs256(&secret).map_err(|source| MercureSetupError::Key { place, source })?);
    }
    let mut texts = Vec::new();
    if let Some(path) = key_file {
        let text = std::fs::read_to_string(path).map_err(unreadable(path))?;
        texts.push((path.display().to_string(), text));
    }
    texts.extend(variable(key_variable)?.map(|text| (key_variable.to_owned(), text)));
    for (place, text) in texts {
        keys.extend(Key::from_pem(&text).map_err(|source| MercureSetupError::Key { place, source })?);
    }
    let jwks_url = jwks_url.map(str::to_owned);
    let any = !keys.is_empty() || jwks_url.is_some();
    Ok(any.then(|| MercureKeys { keys, jwks_url, jwks_times: JwksTimes::default() }))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Settings with a secret in a file, which is there for as long as the second value is.
    fn settings(text: &str) -> (Settings, tempfile::NamedTempFile) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"!ChangeThisMercureHubJWTSecretKey!\n").unwrap();
        let path = file.path().display();
        let text = text.replace("KEY", &format!("publisher-hs256-secret-file = \"{path}\""));
        (toml::from_str(&text).unwrap(), file)
    }

    fn set_up(text: &str) -> Result<bool, String> {
        let (settings, _file) = settings(text);
        let auth = settings.auth.auth().unwrap();
        settings.mercure(auth.as_ref()).map(|own| own.is_some()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_turns_it_on() {
        assert_eq!(set_up(""), Ok(false));
        assert_eq!(set_up("[mercure]"), Ok(false));
        assert_eq!(set_up("[mercure]\nKEY"), Ok(true));
        let whole = "[mercure]\nKEY\nanonymous = true\ncookie = \"c\"\nsubscriptions = true\npublic-topics = [\"**\"]\n\
                     public-url = \"https://hub.example/.well-known/mercure\"\naudience = \"a\"";
        assert_eq!(set_up(whole), Ok(true));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("[mercure]\nanonymous = true", "no key"),
            ("[mercure]\npublisher-hs256-secret-file = \"/nothing/here\"", "/nothing/here"),
            ("[mercure]\nKEY\npublic-url = \"hub.example\"", "`hub.example`"),
            ("[mercure]\nKEY\npublic-topics = [\"/\"]", "`mercure-public-topics`"),
            ("[mercure]\nKEY\n[auth.anonymous]\nsubscribe = [\"news/**\"]", "`mercure-public-topics`"),
        ] {
            let error = set_up(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    /// What everybody may read by ours is never what is private by Mercure.
    #[test]
    fn nobody_reads_private_updates_without_a_right_to_them() {
        for (selector, allowed) in [
            ("**", false),
            ("*/a", false),
            ("mercure.private/**", false),
            ("mercure.private-more/a", false),
            ("mercure.public/**", true),
            ("news/**", true),
        ] {
            let text = format!(
                "[mercure]\nKEY\npublic-topics = [\"**\"]\n[auth.anonymous]\nsubscribe = [\"{selector}\"]"
            );
            assert_eq!(set_up(&text).is_ok(), allowed, "{selector}");
        }
    }
}
