use crate::error::{ErrorCode, Fault};
use crate::flow::MAX_WINDOW;
use crate::frame::{self, Kind};
use crate::limits;

/// What a server announces to its clients, the same for all of its connections (RFC 9113 §6.5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The most requests at once on one connection.
    pub max_concurrent_streams: u32,
    /// The largest head of a request, where each field counts 32 bytes beside its name and value. A larger one is
    /// [`Event::HeadTooLarge`](crate::Event::HeadTooLarge).
    pub max_header_list_size: u32,
    /// How many bytes of a body may come before they are [`consumed`](crate::Connection::consumed).
    pub initial_window_size: u32,
    /// The same for all bodies of a connection together; at least 65,535, with which every connection begins.
    pub connection_window_size: u32,
    /// The size of the table of fields that clients may make a connection keep. There are clients that know of no size but
    /// the default; they have a table of up to 4,096 bytes whatever this says.
    pub header_table_size: u32,
    /// Whether clients may open a tunnel for another protocol by CONNECT (RFC 8441).
    pub enable_connect_protocol: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 250,
            max_header_list_size: 32 << 10,
            initial_window_size: 256 << 10,
            connection_window_size: 1 << 20,
            header_table_size: 0,
            enable_connect_protocol: false,
        }
    }
}

/// The names of settings (RFC 9113 §6.5.2, RFC 8441 §3, RFC 9218 §2.1).
mod id {
    pub(super) const HEADER_TABLE_SIZE: u16 = 1;
    pub(super) const ENABLE_PUSH: u16 = 2;
    pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(super) const MAX_FRAME_SIZE: u16 = 5;
    pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    pub(super) const NO_RFC7540_PRIORITIES: u16 = 9;
}

/// The window that streams begin with until settings say otherwise.
pub(crate) const DEFAULT_WINDOW: u32 = 65_535;

// === impl Settings ===

impl Settings {
    /// Writes the frame that is the server's preface (RFC 9113 §3.4).
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut pairs = vec![
            (id::HEADER_TABLE_SIZE, self.header_table_size),
            (id::MAX_CONCURRENT_STREAMS, self.max_concurrent_streams),
            (id::INITIAL_WINDOW_SIZE, self.stream_window()),
            (id::MAX_HEADER_LIST_SIZE, self.max_header_list_size),
            (id::NO_RFC7540_PRIORITIES, 1),
        ];
        if self.enable_connect_protocol {
            pairs.push((id::ENABLE_CONNECT_PROTOCOL, 1));
        }
        frame::write_head(pairs.len() * 6, Kind::SETTINGS, 0, 0, out);
        for (id, value) in pairs {
            out.extend(id.to_be_bytes());
            out.extend(value.to_be_bytes());
        }
    }

    pub(crate) fn stream_window(&self) -> u32 {
        self.initial_window_size.min(MAX_WINDOW)
    }

    pub(crate) fn connection_window(&self) -> u32 {
        self.connection_window_size.clamp(DEFAULT_WINDOW, MAX_WINDOW)
    }

    /// The window that streams have before the client has said that it knows the settings: it may rely on the default.
    pub(crate) fn first_window(&self) -> u32 {
        self.stream_window().max(DEFAULT_WINDOW)
    }
}

/// What the client has announced, as far as a server has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientSettings {
    pub(crate) initial_window_size: u32,
    pub(crate) max_frame_size: u32,
    /// The smallest size of a table since the last block of fields was sent.
    pub(crate) header_table_size: u32,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self { initial_window_size: DEFAULT_WINDOW, max_frame_size: 1 << 14, header_table_size: 4_096 }
    }
}

// === impl ClientSettings ===

impl ClientSettings {
    /// Takes the values of a frame in their order (RFC 9113 §6.5.3).
    pub(crate) fn apply(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let (pairs, _) = payload.as_chunks::<6>();
        for [first, second, value @ ..] in pairs {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*first, *second]) {
                id::HEADER_TABLE_SIZE => self.header_table_size = self.header_table_size.min(value),
                id::ENABLE_PUSH | id::NO_RFC7540_PRIORITIES if value > 1 => {
                    return Err(Fault::protocol("a setting is neither 0 nor 1"));
                }
                id::INITIAL_WINDOW_SIZE if value > MAX_WINDOW => {
                    return Err(Fault::connection(
                        ErrorCode::FLOW_CONTROL_ERROR,
                        "SETTINGS_INITIAL_WINDOW_SIZE is too large",
                    ));
                }
                id::INITIAL_WINDOW_SIZE => self.initial_window_size = value,
                id::MAX_FRAME_SIZE if !(1 << 14..1 << 24).contains(&value) => {
                    return Err(Fault::protocol("SETTINGS_MAX_FRAME_SIZE is out of its range"));
                }
                id::MAX_FRAME_SIZE => self.max_frame_size = value,
                _ => {}
            }
        }
        Ok(())
    }

    /// How many bytes a frame to the client may have. Larger ones than those that are taken have no use.
    pub(crate) fn frame_bytes(self) -> usize {
        (self.max_frame_size as usize).min(limits::FRAME_BYTES)
    }
}
