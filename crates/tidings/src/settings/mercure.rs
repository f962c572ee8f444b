use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

/// The variables that may hold secrets and keys themselves: they are no flags, as everyone on a machine can read a command line.
pub(crate) const MERCURE_VARIABLES: [&str; 4] = [
    "TIDINGS_MERCURE_PUBLISHER_HS256_SECRET",
    "TIDINGS_MERCURE_PUBLISHER_PUBLIC_KEY",
    "TIDINGS_MERCURE_SUBSCRIBER_HS256_SECRET",
    "TIDINGS_MERCURE_SUBSCRIBER_PUBLIC_KEY",
];

/// `[mercure]`: the hub's log by the protocol of Mercure, at `/.well-known/mercure` (see docs/mercure.md). It is on where there is a key for publishers.
///
/// Secrets and keys may also be in TIDINGS_MERCURE_PUBLISHER_HS256_SECRET, TIDINGS_MERCURE_PUBLISHER_PUBLIC_KEY and their like for subscribers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct MercureSettings {
    /// A file with the secret that the tokens of Mercure's publishers are signed with by HS256; it turns Mercure on
    /// [default: none; also the secret itself in TIDINGS_MERCURE_PUBLISHER_HS256_SECRET]
    #[arg(
        id = "mercure-publisher-hs256-secret-file",
        long = "mercure-publisher-hs256-secret-file",
        env = "TIDINGS_MERCURE_PUBLISHER_HS256_SECRET_FILE",
        value_name = "FILE"
    )]
    #[serde(alias = "publisher_hs256_secret_file")]
    pub(super) publisher_hs256_secret_file: Option<PathBuf>,

    /// A PEM file with public keys that they are signed with by RS256, ES256 or EdDSA [default: none; also the keys themselves
    /// in TIDINGS_MERCURE_PUBLISHER_PUBLIC_KEY]
    #[arg(
        id = "mercure-publisher-public-key-file",
        long = "mercure-publisher-public-key-file",
        env = "TIDINGS_MERCURE_PUBLISHER_PUBLIC_KEY_FILE",
        value_name = "FILE"
    )]
    #[serde(alias = "publisher_public_key_file")]
    pub(super) publisher_public_key_file: Option<PathBuf>,

    /// Where such keys are published as a JSON Web Key Set [default: none]
    // It may name a user with a password.
    #[arg(
        id = "mercure-publisher-jwks-url",
        long = "mercure-publisher-jwks-url",
        env = "TIDINGS_MERCURE_PUBLISHER_JWKS_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    #[serde(alias = "publisher_jwks_url")]
    pub(super) publisher_jwks_url: Option<String>,

    /// The same secret for subscribers [default: the publishers' keys]
    #[arg(
        id = "mercure-subscriber-hs256-secret-file",
        long = "mercure-subscriber-hs256-secret-file",
        env = "TIDINGS_MERCURE_SUBSCRIBER_HS256_SECRET_FILE",
        value_name = "FILE"
    )]
    #[serde(alias = "subscriber_hs256_secret_file")]
    pub(super) subscriber_hs256_secret_file: Option<PathBuf>,

    /// The same public keys for subscribers [default: the publishers' keys]
    #[arg(
        id = "mercure-subscriber-public-key-file",
        long = "mercure-subscriber-public-key-file",
        env = "TIDINGS_MERCURE_SUBSCRIBER_PUBLIC_KEY_FILE",
        value_name = "FILE"
    )]
    #[serde(alias = "subscriber_public_key_file")]
    pub(super) subscriber_public_key_file: Option<PathBuf>,

    /// The same key set for subscribers [default: the publishers' keys]
    #[arg(
        id = "mercure-subscriber-jwks-url",
        long = "mercure-subscriber-jwks-url",
        env = "TIDINGS_MERCURE_SUBSCRIBER_JWKS_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    #[serde(alias = "subscriber_jwks_url")]
    pub(super) subscriber_jwks_url: Option<String>,

    /// Whether Mercure's subscribers need no token for public updates [default: false]
    #[arg(
        id = "mercure-anonymous",
        long = "mercure-anonymous",
        env = "TIDINGS_MERCURE_ANONYMOUS",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true
    )]
    pub(super) anonymous: Option<bool>,

    /// The cookie that may carry a token of Mercure [default: mercureAuthorization or mercureAccessToken]
    #[arg(
        id = "mercure-cookie",
        long = "mercure-cookie",
        env = "TIDINGS_MERCURE_COOKIE",
        value_name = "NAME"
    )]
    pub(super) cookie: Option<String>,

    /// Whether Mercure's active subscriptions are listed and told of [default: false]
    #[arg(
        id = "mercure-subscriptions",
        long = "mercure-subscriptions",
        env = "TIDINGS_MERCURE_SUBSCRIPTIONS",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true
    )]
    pub(super) subscriptions: Option<bool>,

    /// The topics whose events are public to Mercure's subscribers; to be said where `[auth]` says who may use the hub besides
    /// [default: **]
    #[arg(
        id = "mercure-public-topics",
        long = "mercure-public-topics",
        env = "TIDINGS_MERCURE_PUBLIC_TOPICS",
        value_name = "SELECTOR",
        value_delimiter = ','
    )]
    #[serde(alias = "public_topics")]
    pub(super) public_topics: Option<Vec<String>>,

    /// Where Mercure is reached from outside, like `https://hub.example/.well-known/mercure`: relative topics are resolved against it
    /// [default: none]
    #[arg(
        id = "mercure-public-url",
        long = "mercure-public-url",
        env = "TIDINGS_MERCURE_PUBLIC_URL",
        value_name = "URL"
    )]
    #[serde(alias = "public_url")]
    pub(super) public_url: Option<String>,

    /// The audience (`aud`) that access tokens of Mercure 1.0 must be for [default: mercure-public-url]
    #[arg(
        id = "mercure-audience",
        long = "mercure-audience",
        env = "TIDINGS_MERCURE_AUDIENCE",
        value_name = "TEXT"
    )]
    pub(super) audience: Option<String>,
}

// === impl MercureSettings ===

#[cfg(feature = "serve")]
impl MercureSettings {
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            publisher_hs256_secret_file: self
                .publisher_hs256_secret_file
                .or(other.publisher_hs256_secret_file),
            publisher_public_key_file: self.publisher_public_key_file.or(other.publisher_public_key_file),
            publisher_jwks_url: self.publisher_jwks_url.or(other.publisher_jwks_url),
            subscriber_hs256_secret_file: self
                .subscriber_hs256_secret_file
                .or(other.subscriber_hs256_secret_file),
            subscriber_public_key_file: self.subscriber_public_key_file.or(other.subscriber_public_key_file),
            subscriber_jwks_url: self.subscriber_jwks_url.or(other.subscriber_jwks_url),
            anonymous: self.anonymous.or(other.anonymous),
            cookie: self.cookie.or(other.cookie),
            subscriptions: self.subscriptions.or(other.subscriptions),
            public_topics: self.public_topics.or(other.public_topics),
            public_url: self.public_url.or(other.public_url),
            audience: self.audience.or(other.audience),
        }
    }
}
