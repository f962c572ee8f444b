use crate::error::{ConnectionError, ErrorCode};
use crate::limits;

/// How often a client did what makes work for nothing, in the last seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Floods {
    since: u32,
    counts: [u16; Flood::ALL],
}

/// What is counted. Each has its limit in [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flood {
    Resets,
    StreamErrors,
    Settings,
    EmptyFrames,
    SmallFrames,
    ControlFrames,
}

// === impl Flood ===

impl Flood {
    const ALL: usize = 6;

    const fn limit(self) -> (u16, &'static str) {
        match self {
            Self::Resets => (limits::RESETS, "too many requests are given up"),
            Self::StreamErrors => (limits::STREAM_ERRORS, "too many streams have to be reset"),
            Self::Settings => (limits::SETTINGS, "settings change too often"),
            Self::EmptyFrames => (limits::EMPTY_FRAMES, "too many frames are empty"),
            Self::SmallFrames => (limits::SMALL_FRAMES, "too many frames are small"),
            Self::ControlFrames => (limits::CONTROL_FRAMES, "too many frames bring nothing"),
        }
    }
}

// === impl Floods ===

impl Floods {
    /// It is so many seconds after some moment.
    pub(crate) fn pass(&mut self, now: u32) {
        if now.wrapping_sub(self.since) >= limits::FLOOD_SECONDS {
            *self = Self { since: now, counts: [0; Flood::ALL] };
        }
    }

    pub(crate) fn count(&mut self, flood: Flood) -> Result<(), ConnectionError> {
        let count = &mut self.counts[flood as usize];
        let (limit, reason) = flood.limit();
        if *count >= limit {
            return Err(ConnectionError { code: ErrorCode::ENHANCE_YOUR_CALM, reason });
        }
        *count += 1;
        Ok(())
    }

    /// A frame of data was sent, after which the client may open its windows.
    pub(crate) fn sent_data(&mut self) {
        let count = &mut self.counts[Flood::ControlFrames as usize];
        *count = count.saturating_sub(limits::CONTROL_FRAMES_PER_DATA);
    }
}
