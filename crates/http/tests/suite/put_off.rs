//! §3.2: a stream is never answered with an error that passes by itself, as an `EventSource` would never come back after
//! one: it begins, says when to come back, and ends. Whatever the reason, and however it is asked for.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http_body_util::BodyExt as _;
use serde_json::json;
use tidings_http::{Api, Auth, AuthConfig, Cleartext, Cors, Key, answer_while_opening};
use tidings_hub::Hub;
use tidings_log::ReadError;
use tidings_protocol::Problem;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::tokens::{SECRET, bearer, claims, sign, with};
use crate::support::{
    Authority, Block, FaultyLog, H2, Request, Running, Setup, Stream, Wire, eventually, within,
};

const APP: &str = "https://app.example";

/// How a hub is asked.
#[derive(Debug, Clone, Copy)]
enum Way {
    Http1,
    Http2,
    Tls1,
    Tls2,
}

const IN_CLEAR: [Way; 2] = [Way::Http1, Way::Http2];
const EVERY_WAY: [Way; 4] = [Way::Http1, Way::Http2, Way::Tls1, Way::Tls2];

/// Somebody who asks a hub, in every way that it is served in.
struct Asker {
    authority: Authority,
    address: SocketAddr,
    ways: &'static [Way],
    prefix: &'static str,
    fields: Vec<(&'static str, String)>,
}

/// What came.
#[derive(Debug)]
struct Answered {
    status: u16,
    fields: http::HeaderMap,
    body: String,
}

impl Asker {
    async fn ask(&self, way: Way, target: &str, accept: &str) -> Answered {
        let target = format!("{}{target}", self.prefix);
        let fields = [("accept", accept), ("origin", APP)];
        let own = self.fields.iter().map(|(name, value)| (*name, value.as_str()));
        let fields: Vec<_> = fields.into_iter().chain(own).collect();
        let h2 = match way {
            Way::Http2 => Some(H2::connect(self.address).await),
            Way::Tls2 => Some(self.authority.http2(self.address).await),
            Way::Http1 | Way::Tls1 => None,
        };
        if let Some(mut h2) = h2 {
            let response = h2.send("GET", &target, &fields, "").await;
            let (status, fields) = (response.status().as_u16(), response.headers().clone());
            let body = within(response.into_body().collect()).await.unwrap().to_bytes();
            return Answered { status, fields, body: String::from_utf8(body.to_vec()).unwrap() };
        }
        let mut wire = match way {
            Way::Tls1 => self.authority.http1(self.address).await,
            _ => Wire::connect(self.address).await,
        };
        let request = Request::get(&target);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(name, value));
        let answer = wire.ask(&request).await;
        let names = ["content-type", "retry-after", "access-control-allow-origin", "x-content-type-options"];
        let fields = names
            .iter()
            .filter_map(|name| Some((name.parse().unwrap(), answer.header(name)?.parse().unwrap())));
        Answered { status: answer.status(), fields: fields.collect(), body: answer.text().to_owned() }
    }

    /// Streams are put off, and everybody else is told what is the matter.
    async fn is_put_off(&self, query: &str, status: u16, what: &str) {
        let mut delays = BTreeSet::new();
        for &way in self.ways {
            for path in ["/topics/a?", "/events?topic=a&"] {
                let target = format!("{path}{query}");
                let at = format!("{what}, {way:?}, {target}");
                for (accept, form) in [
                    ("text/event-stream", "text/event-stream"),
                    ("text/event-stream, */*;q=0.1", "text/event-stream"),
                    ("application/x-ndjson", "application/x-ndjson"),
                ] {
                    let told = self.ask(way, &target, accept).await;
                    told.is_for_the_app(&at);
                    assert_eq!(told.status, 200, "{at}: {told:?}");
                    assert_eq!(told.fields["content-type"], form, "{at}");
                    assert!(told.fields.contains_key("retry-after"), "{at}");
                    if form == "application/x-ndjson" {
                        assert_eq!(told.body, "", "{at}");
                        continue;
                    }
                    let block = Block::new(&told.body);
                    let delay = block.retry.unwrap();
                    assert!((1..=10_000).contains(&delay), "{at}: {delay}");
                    assert!(block.id.is_none() && block.data.is_none() && block.event.is_none(), "{at}");
                    delays.insert(delay);
                }
                let told = self.ask(way, &format!("{target}&wait=1"), "application/json").await;
                told.is_for_the_app(&at);
                assert_eq!(told.status, status, "{at}: {told:?}");
                assert!(told.fields.contains_key("retry-after"), "{at}");
                let problem: Problem = serde_json::from_str(&told.body).unwrap();
                assert_eq!(problem.status, status, "{at}");
            }
        }
        assert!(delays.len() > 1, "all come back together: {what}, {delays:?}");
    }
}

impl Answered {
    #[track_caller]
    fn is_for_the_app(&self, at: &str) {
        assert_eq!(self.fields["access-control-allow-origin"], APP, "{at}: {self:?}");
        assert_eq!(self.fields["x-content-type-options"], "nosniff", "{at}: {self:?}");
    }
}

fn setup(authority: &Authority) -> Setup {
    let mut setup = Setup::new();
    setup.http.cors = Cors::new(&[APP.to_owned()], Duration::from_secs(600)).unwrap();
    setup.hub.tail_bytes = 0;
    setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Everyone));
    setup
}

/// The same hub behind a server of ours, and in another program.
async fn both(hub: &Hub, auth: Auth, setup: Setup, authority: Authority) -> (Running, [Asker; 2], Api) {
    let api = Api::builder(hub.clone(), setup.http.clone()).auth(auth.clone()).build();
    let own = setup.start_with(hub.clone(), auth).await;
    let app = Router::new().nest("/push", api.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move { axum::serve(listener, app).await }));
    let asker =
        |authority, address, ways, prefix| Asker { authority, address, ways, prefix, fields: Vec::new() };
    let embedded = asker(Authority::new(), address, &IN_CLEAR, "/push");
    let askers = [asker(authority, own.address, &EVERY_WAY, ""), embedded];
    (own, askers, api)
}

#[tokio::test]
async fn while_the_log_cannot_be_read() {
    let authority = Authority::new();
    let setup = setup(&authority);
    let log = Arc::new(FaultyLog::new(setup.log()));
    let hub = Hub::new(log.clone(), setup.hub);
    let (own, askers, _) = both(&hub, Auth::open(), setup, authority).await;
    own.publish_numbers("a", 0..3).await;
    for error in [
        ReadError::Away { reason: "switched off".into() },
        ReadError::Damaged { file: "/secret".into(), offset: 7, reason: "checksum".into() },
    ] {
        log.refuse_reads(Some(error));
        for asker in &askers {
            asker.is_put_off("since=-1", 503, "the log cannot be read").await;
            // What does not pass by itself is refused as ever.
            for (target, accept, status) in [
                ("/topics/a?since=soon", "text/event-stream", 400),
                ("/topics/a/", "text/event-stream", 400),
                ("/nowhere", "text/event-stream", 404),
                ("/topics/a", "text/html", 406),
            ] {
                let told = asker.ask(Way::Http1, target, accept).await;
                assert_eq!(told.status, status, "{target}: {told:?}");
                told.is_for_the_app(target);
            }
        }
    }
    assert!(own.metric("tidings_refusals_total{reason=\"unavailable\"}").await > 0);
    log.refuse_reads(None);
    let mut stream = own.stream("/topics/a?since=-1").await;
    assert_eq!(stream.event().await.data.unwrap(), "2");
}

#[tokio::test]
async fn while_a_subject_has_as_many_readers_as_it_may() {
    let authority = Authority::new();
    let mut setup = setup(&authority);
    setup.http.max_connections_per_subject = 0;
    let auth = Auth::new(AuthConfig { keys: vec![Key::hs256(SECRET).unwrap()], ..AuthConfig::default() });
    let (_own, mut askers, _) = both(&setup.hub(), auth.unwrap(), setup, authority).await;
    for asker in &mut askers {
        let token = sign(&with(claims(&["**"], &["a"]), "sub", json!("ann")));
        asker.fields = vec![("authorization", bearer(&token))];
        asker.is_put_off("", 429, "as many readers as there may be").await;
        assert_eq!(asker.ask(Way::Http1, "/topics/b", "text/event-stream").await.status, 403);
        asker.fields.clear();
        assert_eq!(asker.ask(Way::Http1, "/topics/a", "text/event-stream").await.status, 401);
    }
}

#[tokio::test]
async fn while_the_keys_of_tokens_are_not_there_yet() {
    let authority = Authority::new();
    let setup = setup(&authority);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    drop(listener);
    let auth = Auth::new(AuthConfig { jwks_url: Some(gone), ..AuthConfig::default() }).unwrap();
    let (_own, mut askers, _) = both(&setup.hub(), auth, setup, authority).await;
    for asker in &mut askers {
        asker.fields = vec![("authorization", bearer(&sign(&claims(&[], &["**"]))))];
        asker.is_put_off("", 503, "no keys yet").await;
    }
}

#[tokio::test]
async fn while_an_address_has_as_many_requests_as_it_may() {
    let authority = Authority::new();
    let mut setup = setup(&authority);
    setup.http.trusted_proxies = "127.0.0.0/8".parse().unwrap();
    setup.http.max_connections_per_address = Some(1);
    let (own, [mut asker, _], _) = both(&setup.hub(), Auth::open(), setup, authority).await;
    let _first = own.open(Request::stream("/topics/a").header("x-forwarded-for", "192.0.2.1")).await;
    asker.fields = vec![("x-forwarded-for", "192.0.2.1".into())];
    asker.is_put_off("", 429, "as many requests as there may be").await;
}

#[tokio::test]
async fn while_the_log_is_not_open_yet() {
    let authority = Authority::new();
    let tls = authority.issue("hub", 1).open();
    let cors = Cors::new(&[APP.to_owned()], Duration::from_secs(600)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (waiting, reason) = watch::channel("waiting for nats://hub".to_owned());
    let opening: JoinHandle<()> = tokio::spawn(async move {
        answer_while_opening(&[listener], Some(&tls), &cors, reason).await;
    });
    let asker = Asker { authority, address, ways: &EVERY_WAY, prefix: "", fields: Vec::new() };
    asker.is_put_off("", 503, "not open yet").await;
    for way in EVERY_WAY {
        let told = asker.ask(way, "/healthz", "*/*").await;
        assert_eq!((told.status, told.body.as_str()), (200, "ok\n"), "{way:?}");
        let told = asker.ask(way, "/topics/a", "application/json").await;
        assert!(told.body.contains("waiting for nats"), "{way:?}: {told:?}");
    }
    // A page of another origin may ask whether it may ask.
    let preflight = Request::new("OPTIONS", "/topics/a")
        .header("origin", APP)
        .header("access-control-request-method", "GET");
    let answer = Wire::connect(address).await.ask(&preflight).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    drop(waiting);
    opening.abort();
}

#[tokio::test]
async fn while_the_hub_shuts_down() {
    let authority = Authority::new();
    let setup = setup(&authority);
    let (_own, [_, asker], api) = both(&setup.hub(), Auth::open(), setup, authority).await;
    api.drain();
    eventually("it drains", async || asker.ask(Way::Http1, "/readyz", "*/*").await.status == 503).await;
    for way in IN_CLEAR {
        for accept in ["text/event-stream", "application/x-ndjson"] {
            let told = asker.ask(way, "/topics/a", accept).await;
            told.is_for_the_app("draining");
            assert_eq!((told.status, told.fields["content-type"] == *accept), (200, true), "{told:?}");
        }
    }
    let mut wire = Wire::connect(asker.address).await;
    wire.send(Request::stream("/push/topics/a").bytes()).await;
    let rest = Stream::new(wire).await.end().await;
    assert!(rest.split_inclusive("\n\n").all(|block| Block::new(block).retry.is_some()), "{rest}");
}
