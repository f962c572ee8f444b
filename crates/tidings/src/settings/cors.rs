use clap::Args;
use serde::Deserialize;

use crate::value::Span;

/// `[cors]`: pages of which other origins may use the hub.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct CorsSettings {
    /// Origins whose pages may use the hub, like `https://app.example`, or `*` for all of them [default: none]
    #[arg(
        id = "cors-origins",
        long = "cors-origins",
        env = "TIDINGS_CORS_ORIGINS",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub(super) origins: Option<Vec<String>>,

    /// Header fields that requests of those pages may have, beside those that the hub reads and those of traces
    /// [default: none]
    #[arg(
        id = "cors-headers",
        long = "cors-headers",
        env = "TIDINGS_CORS_HEADERS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub(super) headers: Option<Vec<String>>,

    /// How long browsers remember the answer to a preflight request [default: 2h]
    #[arg(id = "cors-max-age", long = "cors-max-age", env = "TIDINGS_CORS_MAX_AGE", value_name = "DURATION")]
    #[serde(alias = "max_age")]
    pub(super) max_age: Option<Span>,
}

// === impl CorsSettings ===

#[cfg(feature = "serve")]
impl CorsSettings {
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            origins: self.origins.or(other.origins),
            headers: self.headers.or(other.headers),
            max_age: self.max_age.or(other.max_age),
        }
    }
}
