use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// A limit, as it is counted when somebody comes up against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    Connections,
    ConnectionsPerAddress,
    ConnectionsPerSubject,
    PublishRatePerAddress,
    PublishRatePerSubject,
    TopicsPerRequest,
    StreamsPerConnection,
    HandshakeTimeout,
    HeadBytes,
    HeadTimeout,
    BodyTimeout,
    IdleTimeout,
    WriteTimeout,
}

// === impl Limit ===

impl Limit {
    pub(crate) const ALL: [Self; 9] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::StreamsPerConnection,
        Self::HandshakeTimeout,
        Self::HeadBytes,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::IdleTimeout,
        Self::WriteTimeout,
    ];

    /// The name of its setting.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connections => "max-connections",
            Self::ConnectionsPerAddress => "max-connections-per-address",
            Self::ConnectionsPerSubject => "max-connections-per-subject",
            Self::PublishRatePerAddress => "publish-rate-per-address",
            Self::PublishRatePerSubject => "publish-rate-per-subject",
            Self::TopicsPerRequest => "max-topics-per-request",
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
