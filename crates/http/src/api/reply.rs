//! What a handler answers a request with.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::Extensions;
use tidings_protocol::ProblemKind;

use crate::Api;
use crate::api::access::Line;
use crate::api::poll::PageMaker;
use crate::api::problem::Refusal;
use crate::delivery::memory::Client;
use crate::delivery::observer::Observer as _;
use crate::delivery::parking::{Link, NewReader, NewSocket, Space, body, held};
use crate::server::socket::Attention;

/// What a handler answers with. What waits for events has the head of its response, and a reader, to which whoever serves the
/// connection gives a sink.
///
/// Through a router, it travels in the extensions of the response: [`into_response`](IntoResponse::into_response) is where it
/// goes in, and [`of`](Self::of) where it comes out.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The response is all there.
    Whole(Response),
    /// A poll: one page follows, once there is something to tell.
    Held { head: Response, reader: NewReader, page: PageMaker },
    /// A stream: events follow, until it ends. What its reader has not taken is counted for the client.
    Streamed { head: Response, reader: NewReader, client: Client },
    /// The connection becomes a WebSocket.
    Socket { head: Response, socket: Box<NewSocket> },
}

/// What is on its way through a router. Extensions have to be cloned, and a reader cannot be: it is given to whoever comes
/// first.
#[derive(Clone)]
struct Travelling(Arc<Mutex<Option<Follows>>>);

/// What comes after a head.
#[derive(Debug)]
enum Follows {
    Held(NewReader, PageMaker),
    Streamed(NewReader, Client),
    Socket(Box<NewSocket>),
}

// === impl Reply ===

impl Reply {
    /// Takes out what a handler answered with.
    pub(crate) fn of(mut response: Response) -> Self {
        let travelling = response.extensions_mut().remove::<Travelling>();
        match travelling.and_then(|travelling| travelling.take()) {
            None => Self::Whole(response),
            Some(Follows::Held(reader, page)) => Self::Held { head: response, reader, page },
            Some(Follows::Streamed(reader, client)) => Self::Streamed { head: response, reader, client },
            Some(Follows::Socket(socket)) => Self::Socket { head: response, socket },
        }
    }

    /// Has the line of a request told when its reader has ended. Gives it back where the response is all there.
    pub(crate) fn attach(response: &Response, mut line: Box<Line>) -> Option<Box<Line>> {
        let Some(travelling) = response.extensions().get::<Travelling>() else { return Some(line) };
        match &mut *travelling.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Follows::Held(reader, _) | Follows::Streamed(reader, _)) => {
                line.came_with(reader.asked);
                reader.observed.by(line);
            }
            Some(Follows::Socket(socket)) => socket.observed.by(line),
            None => return Some(line),
        }
        None
    }

    pub(crate) fn head_mut(&mut self) -> &mut Response {
        match self {
            Self::Whole(head)
            | Self::Held { head, .. }
            | Self::Streamed { head, .. }
            | Self::Socket { head, .. } => head,
        }
    }

    /// Gives a sink to a reader that its connection cannot have one for: the body of the response to a stream, and to a poll
    /// a page, for which it waits. `extensions` are the request's.
    pub(crate) async fn settled(self, api: &Api, extensions: &Extensions) -> Result<Self, Refusal> {
        let waits = || extensions.get::<Attention>().map(Attention::waits);
        match self {
            Self::Streamed { mut head, reader, client } if extensions.get::<Space>().is_none() => {
                let (sink, body) = body(client, (api.clone(), waits()));
                api.parked()?.park(Link::Body(sink), reader, Bytes::new(), None);
                *head.body_mut() = Body::new(body);
                Ok(Self::Whole(head))
            }
            Self::Held { head, reader, page } if !reader.interest.shape.is_answered_by_shard() => {
                let _waits = waits();
                let (sink, found) = held();
                api.parked()?.park(Link::Page(sink), reader, Bytes::new(), None);
                let found = found
                    .await
                    .ok_or_else(|| Refusal::new(ProblemKind::Unavailable, "the log could not be read"))?;
                page.respond(api, head, found).map(Self::Whole)
            }
            reply => Ok(reply),
        }
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Whole(response)
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let (mut head, follows) = match self {
            Self::Whole(response) => return response,
            Self::Held { head, reader, page } => (head, Follows::Held(reader, page)),
            Self::Streamed { head, reader, client } => (head, Follows::Streamed(reader, client)),
            Self::Socket { head, socket } => (head, Follows::Socket(socket)),
        };
        head.extensions_mut().insert(Travelling(Arc::new(Mutex::new(Some(follows)))));
        head
    }
}

// === impl Travelling ===

impl Travelling {
    fn take(&self) -> Option<Follows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Travelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Travelling").finish_non_exhaustive()
    }
}
