//! The face as a router in somebody else's program.

use axum::Router;
use axum::routing::get;
use tidings_http::Face;
use tokio::net::TcpListener;

use crate::support::{Block, Request, Setup, Stream, Wire};

/// Serves the face under a prefix of an application that has a route of its own.
async fn embedded(prefix: &str, setup: Setup) -> (std::net::SocketAddr, Face) {
    let face = Face::new(setup.hub(), setup.http.clone());
    let app = Router::new().route("/own", get(async || "own")).nest(prefix, face.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move { axum::serve(listener, app).await }));
    (address, face)
}

#[tokio::test]
async fn the_face_may_stand_under_any_prefix() {
    for prefix in ["/push", "/a/b", "/topics", "/events"] {
        let (address, face) = embedded(prefix, Setup::new()).await;
        let mut wire = Wire::connect(address).await;
        let path = |rest: &str| format!("{prefix}{rest}");
        let receipt = wire.ask(&Request::post(&path("/topics/orders%2F42"), "x")).await;
        assert_eq!(receipt.status(), 201);
        assert_eq!(receipt.json()["topic"], "orders/42");
        let batch = Request::post(&path("/events"), "[{\"topic\":\"topics/b\",\"data\":1}]").json();
        assert_eq!(wire.ask(&batch).await.ids().len(), 1);
        assert_eq!(wire.ask(&Request::get(&path("/topics/orders/*"))).await.page().events.len(), 1);
        assert_eq!(wire.ask(&Request::get(&path("/topics/topics/b"))).await.page().events.len(), 1);
        assert_eq!(wire.ask(&Request::get(&path("/events?topic=**"))).await.page().events.len(), 2);
        let list = wire.ask(&Request::get(&path("/topics"))).await.json();
        assert_eq!(list["topics"][0]["topic"], "orders/42");
        for own in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(wire.ask(&Request::get(&path(own))).await.status(), 200);
        }
        wire.ask(&Request::get(&path("/nowhere"))).await.problem(404, "not-found");
        wire.ask(&Request::get(&path("/topics/"))).await.problem(400, "invalid-topic");
        assert_eq!(wire.ask(&Request::get("/own")).await.text(), "own");
        assert_eq!(wire.ask(&Request::get("/healthz")).await.status(), 404);
        assert_eq!(face.hub().latest(), 2);
    }
}

#[tokio::test]
async fn streams_and_held_polls_work_without_a_server_of_ours() {
    let (address, face) = embedded("/push", Setup::new()).await;
    let topic = "a".parse().unwrap();
    let mut wire = Wire::connect(address).await;
    wire.send(Request::stream("/push/topics/a").bytes()).await;
    let mut stream = Stream::new(wire).await;
    assert!(stream.block().await.retry.is_some());
    let mut polling = Wire::connect(address).await;
    polling.send(Request::get("/push/topics/a?wait=30").bytes()).await;
    crate::support::eventually("both wait", async || face.hub().subscribers(&topic) == 2).await;
    let mut wire = Wire::connect(address).await;
    let id = wire.ask(&Request::post("/push/topics/a", "x")).await.id();
    assert_eq!(stream.event().await.id, Some(id.clone()));
    assert_eq!(polling.answer(false).await.page().next, id);
    drop(stream);
    crate::support::eventually("nobody waits", async || face.hub().subscribers(&topic) == 0).await;
}

#[tokio::test]
async fn a_face_that_drains_ends_what_is_held_and_what_still_comes() {
    let (address, face) = embedded("/push", Setup::new()).await;
    let topic = "a".parse().unwrap();
    let mut wire = Wire::connect(address).await;
    wire.send(Request::stream("/push/topics/a").bytes()).await;
    let mut stream = Stream::new(wire).await;
    stream.block().await;
    let mut polling = Wire::connect(address).await;
    polling.send(Request::get("/push/topics/a?wait=30").bytes()).await;
    crate::support::eventually("both wait", async || face.hub().subscribers(&topic) == 2).await;

    face.drain();
    let (farewell, wire) = stream.end_and_go_on().await;
    let mut wire = wire.unwrap();
    assert!(Block::new(&farewell).retry.unwrap() <= 5_000);
    assert!(polling.answer(false).await.page().events.is_empty());
    let ready = wire.ask(&Request::get("/push/readyz")).await;
    ready.problem(503, "unavailable");
    assert!(ready.header("retry-after").is_some());
    assert_eq!(wire.ask(&Request::get("/push/healthz")).await.status(), 200);

    // What still arrives on a connection that was open.
    assert!(wire.ask(&Request::get("/push/topics/a?wait=30")).await.page().events.is_empty());
    wire.send(Request::stream("/push/topics/a").bytes()).await;
    let (text, wire) = Stream::new(wire).await.end_and_go_on().await;
    let mut wire = wire.unwrap();
    let blocks: Vec<_> = text.split_inclusive("\n\n").map(Block::new).collect();
    assert!(blocks.iter().all(|block| block.retry.is_some() && block.data.is_none()), "{text}");
    wire.send(Request::lines("/push/topics/a").bytes()).await;
    let (text, wire) = Stream::new(wire).await.end_and_go_on().await;
    let mut wire = wire.unwrap();
    assert_eq!(text, "");
    wire.ask(&Request::post("/push/topics/a", "x")).await.id();
}
