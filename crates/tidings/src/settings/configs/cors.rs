//! Pages of which other origins may use the hub, from the settings.

use std::time::Duration;

use tidings_http::{Cors, defaults};

use super::{value, within};
use crate::settings::ConfigError;
use crate::settings::cors::CorsSettings;
use crate::value::Span;

// === impl CorsSettings ===

impl CorsSettings {
    pub(crate) fn cors(&self) -> Result<Cors, ConfigError> {
        let origins = self.origins.as_deref().unwrap_or_default();
        let max_age = self.max_age.map_or(defaults::CORS_MAX_AGE, |span| span.0);
        within("cors-max-age", Span(max_age), &(Duration::ZERO..=defaults::CORS_MAX_AGE_MOST))?;
        let cors = Cors::new(origins, max_age).map_err(|error| value("cors-origins", &error))?;
        let headers = self.headers.as_deref().unwrap_or_default();
        cors.with_headers(headers).map_err(|error| value("cors-headers", &error))
    }
}
