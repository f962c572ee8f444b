use std::sync::Arc;

use serde::Deserialize;
use tidings_protocol::{Selector, object};

use super::{Bearer, Rights, bad, moment};
use crate::api::problem::Refusal;
use crate::api::query::shown;

/// The claims of a token that the hub goes by; those about its validity have been checked.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    exp: f64,
    sub: Option<String>,
    #[serde(default, deserialize_with = "object")]
    tidings: Scope,
}

/// The claim `tidings`.
#[derive(Debug, Default, Deserialize)]
struct Scope {
    #[serde(default)]
    publish: Vec<String>,
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(default)]
    close: Vec<String>,
    #[serde(default)]
    delete: Vec<String>,
    #[serde(default)]
    relay: Vec<String>,
    #[serde(default)]
    metrics: bool,
}

// === impl Claims ===

impl Claims {
    pub(super) fn bearer(self) -> Result<Bearer, Refusal> {
        let Scope { publish, subscribe, close, delete, relay, metrics } = self.tidings;
        let (publish, subscribe) = (selectors("publish", &publish)?, selectors("subscribe", &subscribe)?);
        let (close, delete) = (selectors("close", &close)?, selectors("delete", &delete)?);
        Ok(Bearer {
            rights: Arc::new(Rights { publish, subscribe, close, delete, relay, list: true, metrics }),
            subject: self.sub.map(Arc::from),
            expires: moment(self.exp).ok_or_else(|| bad("its `exp` is no time"))?,
        })
    }
}

fn selectors(name: &str, texts: &[String]) -> Result<Vec<Selector>, Refusal> {
    let read = |text: &String| {
        Selector::new(text)
            .map_err(|error| bad(format!("`{}` in its `tidings.{name}`: {error}", shown(text))))
    };
    texts.iter().map(read).collect()
}
