//! PyPI's `websockets`, which compresses as it comes.

use serde_json::{Value, json};

use crate::support::{Hub, Script, tools};

fn launch(url: &str) -> Option<Script> {
    let mut command = tools::python("websockets_client.py")?;
    command.arg(url);
    Some(Script::start(command))
}

/// The next line that is one of these kinds.
async fn next(client: &mut Script, kinds: &[&str]) -> Value {
    loop {
        let told = client.object().await;
        if kinds.contains(&told["kind"].as_str().unwrap()) {
            return told;
        }
    }
}

/// The next message but heartbeats and what a subscription begins with.
async fn message(client: &mut Script) -> Value {
    loop {
        let message = next(client, &["message"]).await["message"].take();
        if message.get("next").is_none() && message.get("subscribed").is_none() {
            return message;
        }
    }
}

/// It reads data of every kind, small and large, and goes on after the hub was killed and after it was asked to end: every event
/// once, in order.
#[tokio::test]
async fn websockets_resumes_after_restarts() {
    let mut hub = Hub::on_disk(&[]).await;
    let Some(mut client) = launch(&hub.url("/topics/orders/*")) else { return };
    let open = client.object().await;
    assert_eq!(open, json!({"kind": "open", "protocol": "tidings.v1", "extensions": ["permessage-deflate"]}));
    assert_eq!(next(&mut client, &["message"]).await["message"]["subscribed"], "");

    let long = "0123456789abcdef".repeat(20_000);
    let deep = format!("{{\"n\":{}7{}}}", "[".repeat(50), "]".repeat(50));
    for (form, query, data, shown) in [
        ("text/plain", "", "plain", json!("plain")),
        ("text/plain", "?event=shipped", "one\r\ntwo\n\n", json!("one\r\ntwo\n\n")),
        (
            "text/plain",
            "",
            "gr\u{fc}\u{df}e \u{1f4ec} \u{2028}\u{feff}",
            json!("gr\u{fc}\u{df}e \u{1f4ec} \u{2028}\u{feff}"),
        ),
        ("application/json", "?event=shipped", "{\n  \"a\": [1,\n 2.50]\n}", json!({"a": [1, 2.5]})),
        ("application/json", "", &*deep, serde_json::from_str(&deep).unwrap()),
        ("application/octet-stream", "", "\0bytes", json!("AGJ5dGVz")),
        ("text/plain", "", "", json!("")),
        ("text/plain", "", &*long, json!(long)),
    ] {
        let published = hub.publish_as(form, &format!("orders/42{query}"), data.to_owned()).await;
        let event = message(&mut client).await;
        assert_eq!(
            (&event["id"], &event["topic"], &event["data"]),
            (&json!(published.id), &json!("orders/42"), &shown)
        );
        assert_eq!(event["event"], if query.is_empty() { Value::Null } else { json!("shipped") });
    }

    for killed in [true, false] {
        // Some of these are on their way to the client while the hub ends.
        for number in 0..5 {
            hub.publish("orders/42", format!("before {number}")).await;
        }
        if killed {
            hub.kill().await;
        } else {
            hub.terminate().await;
        }
        hub.start_again().await;
        // And most of these come while the client is away.
        for number in 0..5 {
            hub.publish("orders/43", format!("after {number}")).await;
        }
        let mut expected = ["before", "after"]
            .into_iter()
            .flat_map(|when| (0..5).map(move |number| format!("{when} {number}")));
        let mut codes = Vec::new();
        let mut wanted = expected.next();
        while let Some(data) = &wanted {
            let told = next(&mut client, &["message", "cut"]).await;
            if told["kind"] == "cut" {
                codes.push(told["code"].clone());
            } else if told["message"].get("topic").is_some() {
                assert_eq!(told["message"]["data"], *data);
                wanted = expected.next();
            }
        }
        assert_eq!(codes, [if killed { json!(1006) } else { json!(1001) }]);
    }
    client.end().await;
}

/// It publishes through the socket that it reads from, and hears the end of the topic.
#[tokio::test]
async fn websockets_publishes_and_ends_with_the_topic() {
    let hub = Hub::in_memory(&[]).await;
    let Some(mut client) = launch(&hub.url("/topics/orders/42")) else { return };
    assert_eq!(next(&mut client, &["message"]).await["message"]["subscribed"], "");
    client.say(r#"{"publish": {"topic": "orders/42", "data": {"n": 1}, "event": "shipped", "key": "k"}, "ref": "a"}"#).await;
    let (first, second) = (message(&mut client).await, message(&mut client).await);
    let (event, receipt) = if first.get("ref").is_some() { (second, first) } else { (first, second) };
    assert_eq!((&event["data"], &event["event"]), (&json!({"n": 1}), &json!("shipped")));
    assert_eq!((&receipt["ref"], &receipt["published"]["id"]), (&json!("a"), &event["id"]));

    client.say(r#"{"publish": {"topic": "orders/*", "data": 1}, "ref": [1, 2]}"#).await;
    let refused = message(&mut client).await;
    assert_eq!(
        (&refused["ref"], &refused["problem"]["type"]),
        (&json!([1, 2]), &json!("urn:tidings:invalid-topic"))
    );

    client.say(r#"{"publish": {"topic": "orders/42", "data": "last", "close": true}, "ref": 3}"#).await;
    let mut heard = vec![message(&mut client).await, message(&mut client).await, message(&mut client).await];
    heard.retain(|message| message.get("ref").is_none());
    assert_eq!(heard[0]["data"], "last");
    assert_eq!(heard[1]["end"]["id"], heard[0]["id"]);
    assert_eq!(client.object().await, json!({"kind": "closed", "code": 1000}));
    client.end().await;
}

/// What two more programs make of a socket, which print what they hear and send what they are told.
async fn talk(hub: &Hub, client: &mut Script) {
    assert_eq!(client.object().await["subscribed"], "");
    let long = "long ".repeat(30_000);
    for (reference, data) in [(1, "short"), (2, &*long)] {
        let publish = json!({"publish": {"topic": "orders/42", "data": data}, "ref": reference});
        client.say(&publish.to_string()).await;
        let (mut published, mut event) = (client.object().await, client.object().await);
        if published.get("ref").is_none() {
            std::mem::swap(&mut published, &mut event);
        }
        assert_eq!((&published["ref"], &published["published"]["id"]), (&json!(reference), &event["id"]));
        assert_eq!(event["data"], data);
    }
    hub.publish("orders/42", "from elsewhere").await;
    assert_eq!(client.object().await["data"], "from elsewhere");
}

#[tokio::test]
async fn websocat_reads_and_publishes() {
    let hub = Hub::in_memory(&[]).await;
    let Some(mut command) = tools::python_program("websocat") else { return };
    // Its buffer for a line is small.
    command.args(["--protocol", "tidings.v1", "--buffer-size", "1000000"]);
    command.arg(hub.url("/topics/orders/42").replacen("http", "ws", 1));
    let mut client = Script::start(command);
    talk(&hub, &mut client).await;
    client.end().await;
}

#[tokio::test]
async fn libcurl_reads_and_publishes() {
    let hub = Hub::in_memory(&[]).await;
    let Some(mut command) = tools::python("curl_client.py") else { return };
    command.arg(hub.url("/topics/orders/42"));
    let mut client = Script::start(command);
    talk(&hub, &mut client).await;
    hub.publish("orders/42?close=true", "last").await;
    while client.object().await != json!({"closed": 1000}) {}
    client.end().await;
}
