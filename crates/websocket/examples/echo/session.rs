use tidings_websocket::{
    Decoder, Deflate, Deflater, Inflater, Message, Opcode, encode, encode_close, encode_close_reply,
    encode_compressed,
};

/// The largest message that is sent back.
const MAX_MESSAGE: usize = 64 << 20;

/// A socket whose messages are sent back.
pub(crate) struct Session {
    decoder: Decoder,
    inflater: Inflater,
    deflater: Deflater,
    deflate: Option<Deflate>,
}

// === impl Session ===

impl Session {
    pub(crate) fn new(deflate: Option<Deflate>) -> Self {
        let decoder = Decoder::server(MAX_MESSAGE, deflate.is_some());
        Self { decoder, inflater: Inflater::default(), deflater: Deflater::new(), deflate }
    }

    /// Appends what is answered to these bytes. `false` once the socket is over.
    pub(crate) fn answer(&mut self, mut read: &[u8], out: &mut Vec<u8>) -> bool {
        loop {
            match self.decoder.receive(&mut read, &mut self.inflater) {
                Ok(Some(Message::Text(text))) => self.say(Opcode::Text, text.as_bytes(), out),
                Ok(Some(Message::Binary(bytes))) => self.say(Opcode::Binary, &bytes, out),
                Ok(Some(Message::Ping(bytes))) => encode(Opcode::Pong, &bytes, out),
                Ok(Some(Message::Pong(_))) => {}
                Ok(Some(Message::Close { code, .. })) => encode_close_reply(code, out),
                Ok(None) => return !self.decoder.is_closed(),
                Err(error) => encode_close(error.code, error.reason, out),
            }
        }
    }

    fn say(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
        let may_compress = self.deflate.is_some_and(|deflate| deflate.takes(payload.len()));
        match self.deflater.compress(payload).filter(|_| may_compress) {
            Some(compressed) => encode_compressed(opcode, &compressed, out),
            None => encode(opcode, payload, out),
        }
    }
}
