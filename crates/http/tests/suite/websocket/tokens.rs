//! Tokens that come later, are renewed, and end.

use serde_json::{Value, json};
use tidings_http::{AuthConfig, Rights};
use tidings_protocol::Timestamp;

use crate::support::tokens::{SHORTLY, bearer, claims, hub, hub_with, moment, sign, with};
use crate::support::{Setup, Socket, upgrade};

fn short(claims: Value) -> String {
    let exp = moment(0) as f64 + SHORTLY.as_secs_f64();
    sign(&with(claims, "exp", json!(exp)))
}

#[tokio::test]
async fn a_token_may_be_the_first_message() {
    let hub = hub().await;
    hub.hub
        .publish(tidings_log::Batch::of(tidings_protocol::NewEvent::text("a".parse().unwrap(), "before")))
        .await
        .unwrap();
    let mut socket = hub.socket("/topics/a?since=earliest").await;
    // Until then, it may do nothing.
    socket.send(json!({"subscribe": "x", "topics": ["a"], "ref": 1})).await;
    assert_eq!(socket.problem(json!(1)).await, "unauthorized");
    socket.send(json!({"token": sign(&claims(&["a"], &["a"])), "ref": 2})).await;
    let terms = socket.message().await;
    assert!(terms["token"]["until"].is_string() && terms["ref"] == 2, "{terms}");
    socket.subscribed("").await;
    assert_eq!(socket.news().await["data"], "before");
    socket.send(json!({"publish": {"topic": "a", "data": "x"}, "ref": 3})).await;
    while socket.news().await["ref"] != 3 {}
}

#[tokio::test]
async fn a_first_token_that_is_no_good_ends_the_socket() {
    let hub = hub().await;
    for (target, token, code, name) in [
        ("/topics/a", "x.y.z".to_owned(), 4_401, "unauthorized"),
        ("/socket", "x.y.z".to_owned(), 4_401, "unauthorized"),
        ("/topics/a", sign(&with(claims(&[], &["a"]), "exp", json!(moment(-3_600)))), 4_401, "unauthorized"),
        ("/topics/a", sign(&claims(&[], &["b"])), 4_403, "forbidden"),
    ] {
        let mut socket = hub.socket(target).await;
        socket.send(json!({"token": token})).await;
        let mut message = socket.message().await;
        if message.get("token").is_some() {
            message = socket.message().await;
        }
        assert_eq!(message["problem"]["type"], format!("urn:tidings:{name}"), "{message}");
        let (own, reason) = socket.ends().await;
        assert_eq!(own, code, "{reason}");
    }
}

#[tokio::test]
async fn a_token_that_does_not_come_is_not_waited_for_longer() {
    let hub = hub().await;
    let (first, second) = (hub.socket("/topics/a").await, hub.socket("/socket").await);
    for socket in [first, second] {
        let (code, reason) = socket.ends().await;
        assert_eq!(code, 4_408, "{reason}");
    }
    assert_eq!(hub.hub.subscribers(&"a".parse().unwrap()), 0);
}

#[tokio::test]
async fn a_socket_ends_with_its_token() {
    let hub = hub().await;
    let request = upgrade("/topics/a").header("authorization", &bearer(&short(claims(&["a"], &["a"]))));
    let socket = Socket::open(hub.connect().await, &request).await;
    let mut later = hub.socket("/topics/a").await;
    later.send(json!({"token": short(claims(&["a"], &["a"]))})).await;
    for socket in [socket, later] {
        let (code, reason) = socket.ends().await;
        assert_eq!(code, 4_401, "{reason}");
        assert!(reason.contains("ended"), "{reason}");
    }
    hub.waiting("a", 0).await;
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let hub = hub().await;
    let request = upgrade("/topics/a").header("authorization", &bearer(&short(claims(&[], &["a"]))));
    let mut socket = Socket::open(hub.connect().await, &request).await;
    socket.subscribed("").await;
    // One that is no good changes nothing.
    socket.send(json!({"token": "x.y.z", "ref": 1})).await;
    assert_eq!(socket.problem(json!(1)).await, "unauthorized");
    for _ in 0..2 {
        socket.send(json!({"token": sign(&claims(&["a"], &["a", "b"]))})).await;
        assert!(socket.message().await["token"]["until"].is_string());
    }
    socket.send(json!({"subscribe": "b", "topics": ["b"]})).await;
    socket.subscribed("b").await;
    tokio::time::sleep(SHORTLY + std::time::Duration::from_millis(500)).await;
    socket.send(json!({"publish": {"topic": "a", "data": "x"}, "ref": 2})).await;
    let mut seen = [socket.news().await, socket.news().await];
    seen.sort_by_key(|message| message["ref"].as_u64());
    assert_eq!((&seen[0]["data"], &seen[1]["ref"]), (&json!("x"), &json!(2)));
    // A smaller one ends what it does not cover.
    socket.send(json!({"token": sign(&claims(&[], &["b"]))})).await;
    assert!(socket.message().await["token"].is_object());
    let message = socket.message().await;
    assert_eq!((&message["problem"]["status"], &message["sub"]), (&json!(403), &json!("")));
    hub.waiting("a", 0).await;
    hub.waiting("b", 1).await;
    socket.send(json!({"publish": {"topic": "a", "data": "y"}, "ref": 3})).await;
    assert_eq!(socket.problem(json!(3)).await, "forbidden");
}

/// Each token ends at its own time, however many sockets a thread has whose tokens end at others.
#[tokio::test]
async fn renewed_tokens_outlive_those_before_them() {
    let hub = hub().await;
    let brief = upgrade("/topics/a").header("authorization", &bearer(&short(claims(&[], &["a"]))));
    let mut renewed = Vec::new();
    for _ in 0..8 {
        let mut socket = Socket::open(hub.connect().await, &brief).await;
        socket.subscribed("").await;
        socket.send(json!({"token": sign(&claims(&["b"], &["a"]))})).await;
        assert!(socket.message().await["token"]["until"].is_string());
        renewed.push(socket);
    }
    let brief = upgrade("/topics/a").header("authorization", &bearer(&short(claims(&[], &["a"]))));
    for _ in 0..4 {
        let socket = Socket::open(hub.connect().await, &brief).await;
        assert_eq!(socket.ends().await.0, 4_401);
    }
    for mut socket in renewed {
        socket.send(json!({"publish": {"topic": "b", "data": "x"}, "ref": 1})).await;
        assert!(socket.news().await["published"].is_object());
    }
}

/// A token that ends before the one that a socket has makes it last no longer, though clocks may differ.
#[tokio::test]
async fn a_token_that_has_ended_already_prolongs_nothing() {
    let hub = hub().await;
    let first = sign(&with(claims(&[], &["a"]), "exp", json!(moment(8))));
    let request = upgrade("/topics/a").header("authorization", &bearer(&first));
    let mut socket = Socket::open(hub.connect().await, &request).await;
    socket.subscribed("").await;
    let until = async |socket: &mut Socket, token: String| {
        socket.send(json!({"token": token})).await;
        socket.news().await["token"]["until"].as_str().unwrap().parse::<Timestamp>().unwrap()
    };
    let own = until(&mut socket, first).await;
    let ended = sign(&with(claims(&[], &["a"]), "exp", json!(moment(-3))));
    let after = until(&mut socket, ended).await;
    assert!(after <= Timestamp::from_millis(own.as_millis() + 1_000), "{own} {after}");
    let later = sign(&with(claims(&[], &["a"]), "exp", json!(moment(1_000))));
    assert!(until(&mut socket, later).await.as_millis() > own.as_millis() + 500_000);
}

/// A reader that shows another token is no reader more.
#[tokio::test]
async fn a_token_is_renewed_where_its_subject_has_as_many_readers_as_it_may() {
    let mut setup = Setup::new();
    setup.http.max_connections_per_subject = 1;
    let hub = hub_with(setup, AuthConfig::default()).await;
    let token = |subject: &str| sign(&with(claims(&["a"], &["a"]), "sub", json!(subject)));
    let request = |subject: &str| upgrade("/topics/a").header("authorization", &bearer(&token(subject)));
    let mut socket = Socket::open(hub.connect().await, &request("ann")).await;
    socket.subscribed("").await;
    for _ in 0..3 {
        socket.send(json!({"token": token("ann"), "ref": 1})).await;
        let message = socket.news().await;
        assert!(message["token"]["until"].is_string(), "{message}");
    }
    assert_eq!(Socket::open(hub.connect().await, &request("ann")).await.ends().await.0, 4_429);
    // Another subject's token is another reader.
    let mut other = Socket::open(hub.connect().await, &request("bob")).await;
    other.subscribed("").await;
    other.send(json!({"token": token("ann"), "ref": 1})).await;
    assert_eq!(other.problem(json!(1)).await, "too-many-requests");
    socket.send(json!({"token": token("eve"), "ref": 2})).await;
    assert!(socket.news().await["token"].is_object());
    other.send(json!({"token": token("ann"), "ref": 2})).await;
    assert!(other.news().await["token"].is_object());
}

#[tokio::test]
async fn where_everybody_may_read_a_token_still_counts() {
    let anonymous = Rights { subscribe: vec!["**".parse().unwrap()], ..Rights::none() };
    let hub = hub_with(Setup::new(), AuthConfig { anonymous, ..AuthConfig::default() }).await;
    let mut socket = hub.socket("/topics/a").await;
    socket.subscribed("").await;
    socket.send(json!({"publish": {"topic": "a", "data": "x"}, "ref": 1})).await;
    assert_eq!(socket.problem(json!(1)).await, "unauthorized");
    socket.send(json!({"token": sign(&claims(&["a"], &[])) })).await;
    assert!(socket.message().await["token"].is_object());
    socket.send(json!({"publish": {"topic": "a", "data": "x"}, "ref": 2})).await;
    let mut seen = [socket.news().await, socket.news().await];
    seen.sort_by_key(|message| message["ref"].as_u64());
    assert_eq!((&seen[0]["data"], &seen[1]["ref"]), (&json!("x"), &json!(2)));
}
