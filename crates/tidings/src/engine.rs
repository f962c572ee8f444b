//! Logs that an engine keeps.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tidings_engine::{Address, Engine, EngineConfig, EngineLog, InvalidAddress};
use tidings_log::Log;
use tokio::sync::watch;

use crate::activation;
use crate::value::EngineUrl;

/// The engines that this program was built with, each with its schemes and what makes one of an address.
const ENGINES: &[Kind] = &[
    #[cfg(feature = "nats")]
    Kind {
        schemes: &["nats", "tls"],
        make: |address, config| Ok(Arc::new(tidings_nats::Nats::new(address, config)?)),
    },
    #[cfg(feature = "postgres")]
    Kind {
        schemes: &["postgres", "postgresql"],
        make: |address, config| Ok(Arc::new(tidings_postgres::Postgres::new(address, config)?)),
    },
    #[cfg(feature = "redis")]
    Kind {
        schemes: &["redis", "rediss"],
        make: |address, config| Ok(Arc::new(tidings_redis::Redis::new(address, config)?)),
    },
];

struct Kind {
    schemes: &'static [&'static str],
    make: fn(Address, EngineConfig) -> Result<Arc<dyn Engine>, InvalidAddress>,
}

// === impl EngineUrl ===

impl EngineUrl {
    /// The engine at this address, which is not connected to yet.
    pub(crate) fn engine(&self, config: EngineConfig) -> Result<Arc<dyn Engine>, InvalidAddress> {
        let address: Address = self.as_str().parse()?;
        let kind = ENGINES.iter().find(|kind| kind.schemes.contains(&address.scheme()));
        let kind = kind.ok_or_else(|| {
            let known: Vec<_> =
                ENGINES.iter().flat_map(|kind| kind.schemes).map(|scheme| format!("`{scheme}://`")).collect();
            InvalidAddress::new(format!(
                "`{}://` is no engine of this program; it was built with {}",
                address.scheme().escape_debug(),
                if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            ))
        })?;
        (kind.make)(address, config)
    }
}

/// Shown in logs: where the engine is, and none of its secrets.
impl fmt::Display for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str().parse::<Address>() {
            Ok(address) => address.fmt(f),
            Err(_) => f.write_str("an engine whose address cannot be read"),
        }
    }
}

/// Opens the log that an engine keeps, however long that takes, and says what is waited for.
pub(crate) async fn open(
    engine: Arc<dyn Engine>,
    config: EngineConfig,
    waiting: watch::Sender<String>,
) -> Result<Arc<dyn Log>, Box<dyn Error + Send + Sync>> {
    let name = engine.name();
    waiting.send_replace(format!("the hub waits for {name} to let it open the log"));
    let mut told = None;
    let log = EngineLog::open(engine, config, |error| {
        activation::notify(&format!("STATUS=waiting for {name}\nEXTEND_TIMEOUT_USEC=30000000"));
        let text = error.to_string();
        // The pauses are short: the same is said once.
        if told.as_ref() != Some(&text) {
            tracing::warn!(engine = name, %error, "waiting for the engine to let the log be opened");
            told = Some(text);
        }
    });
    let log = log.await.map_err(|error| format!("failed to open the log that {name} keeps: {error}"))?;
    if told.is_some() {
        activation::notify("STATUS=the log is open");
    }
    Ok(Arc::new(log))
}
