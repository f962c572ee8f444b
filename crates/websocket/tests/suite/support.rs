use tidings_websocket::{Decoder, Inflater, Message, Opcode, ProtocolError};

pub(crate) const MAX_MESSAGE: usize = 100_000;

/// A frame of a client, whose mask is none. `first` is its first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = tidings_websocket::head(Opcode::Text, false, payload.len()).to_vec();
    frame[0] = first;
    frame[1] |= 0x80;
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// All that a server makes of these bytes.
pub(crate) fn said(bytes: &[u8]) -> Result<Vec<Message>, ProtocolError> {
    receive(&mut Decoder::server(MAX_MESSAGE, false), bytes)
}

/// The same where messages may be compressed.
pub(crate) fn said_deflated(bytes: &[u8]) -> Result<Vec<Message>, ProtocolError> {
    receive(&mut Decoder::server(MAX_MESSAGE, true), bytes)
}

pub(crate) fn receive(decoder: &mut Decoder, mut bytes: &[u8]) -> Result<Vec<Message>, ProtocolError> {
    let (mut inflater, mut all) = (Inflater::default(), Vec::new());
    while let Some(message) = decoder.receive(&mut bytes, &mut inflater)? {
        all.push(message);
    }
    assert!(bytes.is_empty(), "something is left");
    Ok(all)
}

pub(crate) fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}
