use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tidings_websocket::{ClientOpening, Decoder, Inflater, Message, Opcode, encode_masked};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::connection::Failure;
use super::{Connection, Version};

/// The client's side of a WebSocket, over either version of HTTP. Dropping it cuts it off.
pub(crate) struct Socket {
    io: TokioIo<Upgraded>,
    _connection: Connection,
    decoder: Decoder,
    inflater: Inflater,
    read: Vec<u8>,
    /// How many bytes have come.
    pub(crate) count: usize,
}

/// The largest message of a hub that is taken.
const MAX_MESSAGE: usize = 16 << 20;

// === impl Socket ===

impl Socket {
    /// Asks for a socket, with a request that has more fields perhaps. `None` where it is put off.
    pub(crate) async fn open(
        mut connection: Connection,
        version: Version,
        mut request: Request<Full<bytes::Bytes>>,
        deflate: bool,
    ) -> Result<Option<Self>, Failure> {
        let opening = ClientOpening::new([7; 16], "tidings.v1", deflate);
        let mut headers = opening.headers();
        if version == Version::Http2 {
            // Until its settings have come, a client does not know that it may.
            let settings = connection.ask(Request::get("/healthz").body(Full::default())?).await?;
            assert_eq!(settings.status, StatusCode::OK);
            for own_of_http1 in ["upgrade", "connection", "sec-websocket-key"] {
                headers.remove(own_of_http1);
            }
            *request.method_mut() = Method::CONNECT;
            request.extensions_mut().insert(Protocol::from_static("websocket"));
        }
        request.headers_mut().extend(headers);
        let response = connection.send(request).await?;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(None);
        }
        let deflate = match version {
            Version::Http1 => opening.check(response.status(), response.headers())?.deflate.is_some(),
            Version::Http2 => {
                assert_eq!(response.status(), StatusCode::OK);
                response.headers().contains_key("sec-websocket-extensions")
            }
        };
        Ok(Some(Self {
            io: TokioIo::new(hyper::upgrade::on(response).await?),
            _connection: connection,
            decoder: Decoder::client(MAX_MESSAGE, deflate),
            inflater: Inflater::default(),
            read: Vec::new(),
            count: 0,
        }))
    }

    async fn send(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Failure> {
        let mut out = Vec::new();
        encode_masked(opcode, payload, fastrand::u32(..).to_ne_bytes(), &mut out);
        self.io.write_all(&out).await?;
        Ok(self.io.flush().await?)
    }

    /// What the hub says next, if that comes within so many bytes in all. Pings are answered. An error is the end.
    pub(crate) async fn next(&mut self, most: usize) -> Result<Option<Message>, Failure> {
        loop {
            let mut left = &self.read[..];
            let message = self.decoder.receive(&mut left, &mut self.inflater)?;
            let length = self.read.len() - left.len();
            self.read.drain(..length);
            match message {
                Some(Message::Ping(payload)) => self.send(Opcode::Pong, &payload).await?,
                Some(message) => return Ok(Some(message)),
                None if self.count >= most => return Ok(None),
                None => {
                    let mut piece = [0; 4 << 10];
                    let most = piece.len().min(most - self.count);
                    match self.io.read(&mut piece[..most]).await? {
                        0 => return Err("the socket ended".into()),
                        count => {
                            self.count += count;
                            self.read.extend_from_slice(&piece[..count]);
                        }
                    }
                }
            }
        }
    }
}
