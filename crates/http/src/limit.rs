use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// A limit, as it is counted when somebody comes up against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    Connections,
    ConnectionsPerAddress,
    StreamsPerConnection,
    HandshakeTimeout,
    HeadBytes,
    HeadTimeout,
    BodyTimeout,
    IdleTimeout,
    WriteTimeout,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LimitLabels {
    pub(crate) limit: Limit,
}

// === impl Limit ===

impl Limit {
    /// The name of its setting.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connections => "max-connections",
            Self::ConnectionsPerAddress => "max-connections-per-address",
            Self::StreamsPerConnection => "max-streams-per-connection",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::HeadBytes => "max-head-bytes",
            Self::HeadTimeout => "head-timeout",
            Self::BodyTimeout => "body-timeout",
            Self::IdleTimeout => "idle-timeout",
            Self::WriteTimeout => "write-timeout",
        }
    }
}

impl EncodeLabelValue for Limit {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.name())
    }
}
