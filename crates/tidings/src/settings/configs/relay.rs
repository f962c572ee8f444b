//! Relays, from the settings.

use std::collections::BTreeMap;

use tidings_relay::{FieldSource, InvalidRelay, InvalidRelays, OnLeave, RelayConfig, Relays};

use crate::settings::Settings;
use crate::settings::relay::{FieldSetting, OnLeaveSetting, RelaySettings};
use crate::value::Span;

/// A relay cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelaySetupError {
    #[error("failed to set `relay`: `{0}` is not like `NAME=URL`")]
    Pair(String),
    #[error("failed to set `[relay.{0}]`: it has no `url`")]
    NoUrl(String),
    #[error("failed to set `[relay.{name}]`: {source}")]
    Relay { name: String, source: InvalidRelay },
}

// === impl Settings ===

impl Settings {
    /// The relays, those that are written in short among them.
    pub(crate) fn relays(&self) -> Result<Relays, RelaySetupError> {
        let mut tables = self.relay.0.clone();
        for pair in self.relay_urls.iter().flatten() {
            let shown = || RelaySetupError::Pair(pair.split('=').next().unwrap_or_default().to_owned());
            let (name, url) = pair.split_once('=').ok_or_else(shown)?;
            tables.entry(name.trim().to_owned()).or_default().url = Some(url.trim().to_owned());
        }
        let configs = tables.into_iter().map(|(name, table)| match table.config() {
            Some(config) => Ok((name, config)),
            None => Err(RelaySetupError::NoUrl(name)),
        });
        let configs: BTreeMap<_, _> = configs.collect::<Result<_, _>>()?;
        Relays::new(configs)
            .map_err(|InvalidRelays { name, problem }| RelaySetupError::Relay { name, source: problem })
    }
}

// === impl RelaySettings ===

impl RelaySettings {
    /// What it says, where it says where the endpoint is.
    fn config(self) -> Option<RelayConfig> {
        let base = RelayConfig::to(self.url?);
        let headers = self.headers.into_iter().map(|(name, value)| (name, value.into()));
        Some(RelayConfig {
            headers: headers.collect(),
            topic: self.topic,
            on_leave: match self.on_leave {
                Some(OnLeaveSetting::Cancel) => OnLeave::Cancel,
                Some(OnLeaveSetting::Continue) | None => OnLeave::Continue,
            },
            methods: self.methods,
            share: self.share.unwrap_or(false),
            share_linger: self.share_linger.map_or(base.share_linger, |Span(time)| time),
            connect_timeout: self.connect_timeout.map_or(base.connect_timeout, |Span(time)| time),
            first_byte_timeout: self.first_byte_timeout.map_or(base.first_byte_timeout, |Span(time)| time),
            silence_timeout: self.silence_timeout.map_or(base.silence_timeout, |Span(time)| time),
            max_runs: self.max_runs.unwrap_or(base.max_runs),
            ..base
        })
    }
}

impl From<FieldSetting> for FieldSource {
    fn from(setting: FieldSetting) -> Self {
        match setting {
            FieldSetting::Text(text) => Self::Text(text),
            FieldSetting::File { file, prefix } => Self::File { file, prefix },
            FieldSetting::Variable { name, prefix } => Self::Variable { name, prefix },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    fn problem(text: &str) -> String {
        settings(text).relays().unwrap_err().to_string()
    }

    #[test]
    fn a_relay_is_a_table_with_an_address() {
        assert!(settings("").relays().unwrap().is_empty());
        let text = r#"
            [relay.models]
            url = "http://127.0.0.1:1/v1"
            headers = { authorization = "Bearer x", "x-other" = "y" }
            topic = "llm/{id}"
            on-leave = "cancel"
            methods = ["POST", "GET"]
            silence-timeout = "30s"
            [relay.news]
            url = "https://news.example"
            share = true
        "#;
        assert!(!settings(text).relays().unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_relay_is_said_and_no_secret() {
        for (text, expected) in [
            ("[relay.a]", "[relay.a]`: it has no `url`"),
            ("[relay.a]\nurl = \"ftp://x\"", "`url`"),
            ("[relay.A]\nurl = \"http://x\"", "`A` is no name"),
            ("[relay.a]\nurl = \"http://x\"\ntopic = \"llm\"", "`llm` is no topic with `{id}`"),
            ("[relay.a]\nurl = \"http://x\"\nmethods = [\"TRACE\"]", "`TRACE`"),
            ("[relay.a]\nurl = \"http://x\"\nmethods = [\"POST\"]\nshare = true", "`share`"),
            ("[relay.a]\nurl = \"http://x\"\nconnect-timeout = 0", "`connect-timeout`"),
            ("[relay.a]\nurl = \"http://x\"\nmax-runs = 0", "`max-runs`"),
            ("[relay.a]\nurl = \"http://x\"\nheaders = { host = \"s3cret\" }", "`host`"),
            ("[relay.a]\nurl = \"http://x\"\nheaders = { a = \"s3cret\\n2\" }", "`a`"),
            (
                "[relay.a]\nurl = \"http://x\"\nheaders = { a = { file = \"/nothing/here\" } }",
                "/nothing/here",
            ),
            ("[relay.a]\nurl = \"http://u:s3cret@x\"", "`url`"),
            (
                "[relay.a]\nurl = \"http://x\"\ntopic = \"{id}\"\n[relay.b]\nurl = \"http://x\"\ntopic = \"{id}\"",
                "[relay.b]",
            ),
        ] {
            let problem = problem(text);
            assert!(problem.contains(expected) && !problem.contains("s3cret"), "{text}: {problem}");
        }
        for text in [
            "[relay.a]\nurl = \"http://x\"\nheaders = { a = { file = \"x\", env = \"y\" } }",
            "[relay.a]\nurl = \"http://x\"\nheaders = { a = { } }",
            "[relay.a]\nurl = \"http://x\"\non-leave = \"stay\"",
            "[relay.a]\nurl = \"http://x\"\nother = 1",
            "[relay]\na = [\"http://x\"]",
            "relay = []",
        ] {
            assert!(toml::from_str::<Settings>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_relay_may_be_written_in_short() {
        let short = |pair: &str| Settings { relay_urls: Some(vec![pair.to_owned()]), ..Settings::default() };
        assert!(!short("models=http://127.0.0.1:1").relays().unwrap().is_empty());
        assert!(short("http://127.0.0.1:1").relays().is_err());
        let file = settings("[relay.models]\non-leave = \"cancel\"");
        assert!(!short("models=http://127.0.0.1:1").or(file).relays().unwrap().is_empty());
    }
}
