use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Authority;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    /// By prior knowledge, in clear.
    Http2,
}

/// One connection, which resumes, repeats and follows nothing. Dropping it closes it at once.
pub(crate) struct Connection {
    address: SocketAddr,
    sender: Sender,
    _driver: JoinSet<()>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

// === impl Connection ===

impl Connection {
    pub(crate) async fn open(address: SocketAddr, version: Version) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Self::over(socket, address, version).await
    }

    /// A connection over TLS, to a hub with a certificate of this authority.
    pub(crate) async fn open_tls(
        address: SocketAddr,
        version: Version,
        authority: &Authority,
    ) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let protocol = if version == Version::Http2 { "h2" } else { "http/1.1" };
        let connector = authority.connector(protocol);
        let stream = connector.connect(ServerName::try_from("localhost")?, socket).await?;
        Self::over(stream, address, version).await
    }

    async fn over(
        socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        address: SocketAddr,
        version: Version,
    ) -> Result<Self, Failure> {
        let io = TokioIo::new(socket);
        let mut driver = JoinSet::new();
        // The driver's error is the requester's as well.
        let sender = match version {
            Version::Http1 => {
                let (sender, connection) = http1::handshake(io).await?;
                driver.spawn(async { drop(connection.with_upgrades().await) });
                Sender::Http1(sender)
            }
            Version::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                driver.spawn(async { drop(connection.await) });
                Sender::Http2(sender)
            }
        };
        Ok(Self { address, sender, _driver: driver })
    }

    /// Sends a request whose address is only a path, and gives the answer as soon as its head is there.
    pub(crate) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                let address = HeaderValue::try_from(self.address.to_string())?;
                request.headers_mut().entry(HOST).or_insert(address);
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
            Sender::Http2(sender) => {
                let address = format!("http://{}{}", self.address, request.uri());
                *request.uri_mut() = Uri::try_from(address)?;
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
        }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let (head, body) = self.send(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
