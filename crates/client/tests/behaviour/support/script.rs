use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A server that answers each connection's one request as a closure says. It ends when it is dropped.
pub(crate) struct Script {
    pub(crate) url: String,
    requests: mpsc::UnboundedReceiver<Request>,
    _accepting: JoinSet<()>,
}

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Counted from 0.
    pub(crate) number: usize,
    pub(crate) head: String,
}

impl Script {
    pub(crate) async fn start<F, Fut>(answer: F) -> Self
    where
        F: Fn(Request, TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, requests) = mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let (answer, count) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
            let mut connections = JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let (answer, count, tell) = (answer.clone(), count.clone(), tell.clone());
                connections.spawn(async move {
                    let Some(head) = read_head(&mut socket).await else { return };
                    let request = Request { number: count.fetch_add(1, Ordering::SeqCst), head };
                    drop(tell.send(request.clone()));
                    answer(request, socket).await;
                });
            }
        });
        Self { url, requests, _accepting: accepting }
    }

    /// The next request that arrived.
    pub(crate) async fn request(&mut self) -> Request {
        let request = tokio::time::timeout(super::PATIENCE, self.requests.recv()).await;
        request.expect("a request comes in time").unwrap()
    }

    /// The requests that have arrived since the last look.
    pub(crate) fn requests_so_far(&mut self) -> Vec<Request> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

impl Request {
    pub(crate) fn wants_stream(&self) -> bool {
        self.head.contains("text/event-stream")
    }

    /// The value of a parameter of the query, as it was written.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let target = self.head.split(' ').nth(1)?;
        target.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Reads up to the end of a request's head, and its body where it declares one.
async fn read_head(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:").map(|length| length.trim().parse::<usize>())
    });
    let length = length.and_then(Result::ok).unwrap_or(0);
    while bytes.len() < end + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// Sends a whole answer, and closes the connection: `head` is the status and perhaps headers.
pub(crate) async fn reply(socket: &mut TcpStream, head: &str, body: &str) {
    let head = head.trim().replace('\n', "\r\n");
    let text =
        format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    drop(socket.write_all(text.as_bytes()).await);
    drop(socket.shutdown().await);
}

/// Answers with a page of text events, each with its sequence number as data.
pub(crate) async fn page(socket: &mut TcpStream, sequences: &[u64], next: u64) {
    let events: Vec<String> = sequences.iter().map(|sequence| event(*sequence)).collect();
    let body = format!(r#"{{"events":[{}],"next":"q7m2x9-{next}","more":false}}"#, events.join(","));
    reply(socket, "200 OK\ncontent-type: application/json", &body).await;
}

/// The JSON object of an event.
pub(crate) fn event(sequence: u64) -> String {
    format!(
        r#"{{"id":"q7m2x9-{sequence}","topic":"a","time":"2026-11-22T05:46:19.123Z","data":"{sequence}"}}"#
    )
}

/// The block of an event in a stream.
pub(crate) fn block(sequence: u64) -> String {
    format!("id: q7m2x9-{sequence}\ndata: {}\n\n", event(sequence))
}

/// Begins a stream that lasts until the socket is dropped, and sends its first bytes.
pub(crate) async fn begin_stream(socket: &mut TcpStream, text: &str) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    socket.write_all(format!("{head}{text}").as_bytes()).await.unwrap();
}

/// Holds a connection until the other side closes it.
pub(crate) async fn hold(mut socket: TcpStream) {
    let mut byte = [0];
    drop(socket.read(&mut byte).await);
}
