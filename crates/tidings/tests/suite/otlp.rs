//! Traces over OTLP, to a collector that this test is.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::{Hub, within};

/// Takes what is exported.
struct Collector {
    address: SocketAddr,
    spans: mpsc::UnboundedReceiver<Span>,
    _server: JoinSet<()>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Span {
    trace: Vec<u8>,
    own: Vec<u8>,
    parent: Vec<u8>,
    name: String,
}

// === impl Collector ===

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, spans) = mpsc::unbounded_channel();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let sender = sender.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| take(request, sender.clone()));
                    drop(http1::Builder::new().serve_connection(TokioIo::new(socket), service).await);
                });
            }
        });
        Self { address, spans, _server: server }
    }

    async fn span(&mut self) -> Span {
        within("a span", self.spans.recv()).await.unwrap()
    }
}

async fn take(
    request: Request<Incoming>,
    spans: mpsc::UnboundedSender<Span>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    // ExportTraceServiceRequest, ResourceSpans, ScopeSpans, Span.
    for resource in fields(&body, 1) {
        for scope in fields(resource, 2) {
            for span in fields(scope, 2) {
                let field =
                    |number| fields(span, number).first().map(|bytes| bytes.to_vec()).unwrap_or_default();
                let name = String::from_utf8(field(5)).unwrap();
                drop(spans.send(Span { trace: field(1), own: field(2), parent: field(4), name }));
            }
        }
    }
    Ok(Response::new(Full::default()))
}

/// The values of a field of a protobuf message that have a length.
fn fields(mut message: &[u8], number: u64) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => {
                varint(&mut message);
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)).unwrap(),
            5 => 4,
            other => panic!("an unknown wire type: {other}"),
        };
        let (value, rest) = message.split_at(length);
        message = rest;
        if key == number << 3 | 2 {
            found.push(value);
        }
    }
    found
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = message.split_first().unwrap();
        *message = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

#[tokio::test]
async fn the_trace_of_a_publisher_goes_on_in_the_hub() {
    let mut collector = Collector::start().await;
    let endpoint = format!("http://{}", collector.address);
    let mut hub = Hub::in_memory(&["--otlp-endpoint", &endpoint]).await;
    let request = Request::post("/topics/a%2Fb")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let answer = hub.ask(request.body(Full::new("x".into())).unwrap()).await;
    assert_eq!(answer.status, 201);
    hub.get("/topics/a%2Fb").await;
    // It exports what it has before it ends.
    let (status, _) = hub.terminate().await;
    assert!(status.success(), "{}", hub.log());

    let mut spans = [collector.span().await, collector.span().await, collector.span().await];
    spans.sort_by(|one, other| one.name.cmp(&other.name));
    let [read, publish, append] = &spans;
    assert_eq!(publish.name, "POST /topics/{topic}");
    assert_eq!(publish.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(publish.parent, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(
        (append.name.as_str(), &append.trace, &append.parent),
        ("append", &publish.trace, &publish.own)
    );
    assert_eq!((read.name.as_str(), read.parent.len()), ("GET /topics/{topic}", 0));
    assert_ne!(read.trace, publish.trace);
    let log = hub.log();
    assert!(!log.contains("request{"), "{log}");
}
