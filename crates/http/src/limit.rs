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
    BufferedBytes,
    HandshakeTimeout,
    HeadBytes,
    HeadTimeout,
    BodyTimeout,
    StreamTimeout,
    IdleTimeout,
    WriteTimeout,
}

// === impl Limit ===

impl Limit {
    pub(crate) const ALL: [Self; 15] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::ConnectionsPerSubject,
        Self::PublishRatePerAddress,
        Self::PublishRatePerSubject,
        Self::TopicsPerRequest,
        Self::StreamsPerConnection,
        Self::BufferedBytes,
        Self::HandshakeTimeout,
        Self::HeadBytes,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::StreamTimeout,
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
            Self::BufferedBytes => "max-buffered-bytes",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::HeadBytes => "max-head-bytes",
            Self::HeadTimeout => "head-timeout",
            Self::BodyTimeout => "body-timeout",
            Self::StreamTimeout => "stream-timeout",
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What follows each in the list. Whoever adds a limit is asked here where it belongs.
    fn next(limit: Limit) -> Option<Limit> {
        match limit {
            Limit::Connections => Some(Limit::ConnectionsPerAddress),
            Limit::ConnectionsPerAddress => Some(Limit::ConnectionsPerSubject),
            Limit::ConnectionsPerSubject => Some(Limit::PublishRatePerAddress),
            Limit::PublishRatePerAddress => Some(Limit::PublishRatePerSubject),
            Limit::PublishRatePerSubject => Some(Limit::TopicsPerRequest),
            Limit::TopicsPerRequest => Some(Limit::StreamsPerConnection),
            Limit::StreamsPerConnection => Some(Limit::BufferedBytes),
            Limit::BufferedBytes => Some(Limit::HandshakeTimeout),
            Limit::HandshakeTimeout => Some(Limit::HeadBytes),
            Limit::HeadBytes => Some(Limit::HeadTimeout),
            Limit::HeadTimeout => Some(Limit::BodyTimeout),
            Limit::BodyTimeout => Some(Limit::StreamTimeout),
            Limit::StreamTimeout => Some(Limit::IdleTimeout),
            Limit::IdleTimeout => Some(Limit::WriteTimeout),
            Limit::WriteTimeout => None,
        }
    }

    #[test]
    fn every_limit_is_in_the_list() {
        let chain: Vec<_> = std::iter::successors(Some(Limit::Connections), |limit| next(*limit)).collect();
        assert_eq!(chain, Limit::ALL);
    }
}
