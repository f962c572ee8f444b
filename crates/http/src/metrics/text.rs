use std::collections::HashSet;
use std::fmt;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

/// The two formats of metrics as text. The samples are the same; they differ in what is said about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The older one, which Prometheus made.
    Prometheus,
    OpenMetrics,
}

// === impl Format ===

impl Format {
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    pub(super) fn write(self, registries: &[&Registry]) -> Result<String, fmt::Error> {
        let mut text = String::new();
        registries.iter().try_for_each(|registry| encode_registry(&mut text, registry))?;
        match self {
            Self::OpenMetrics => encode_eof(&mut text)?,
            Self::Prometheus => text = older(&text),
        }
        Ok(text)
    }
}

/// In the older format a counter is called what its samples are, and units and the end are not told.
fn older(text: &str) -> String {
    let word = |line: &str, place| line.split(' ').nth(place).map(str::to_owned);
    let types = text.lines().filter(|line| line.starts_with("# TYPE ") && line.ends_with(" counter"));
    let counters: HashSet<String> = types.filter_map(|line| word(line, 2)).collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.starts_with("# UNIT ")) {
        match word(line, 2).filter(|name| line.starts_with("# ") && counters.contains(name)) {
            Some(name) => out.push_str(&line.replacen(&name, &format!("{name}_total"), 1)),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}
