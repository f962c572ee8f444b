//! §1: topics and selectors in paths and queries.

use crate::support::{Request, Running};

#[tokio::test]
async fn the_rest_of_the_path_percent_decoded_is_the_topic() {
    let hub = Running::start().await;
    let longest = "\u{20ac}".repeat(170) + "xx";
    let longest_path = "%E2%82%AC".repeat(170) + "xx";
    for (path, topic) in [
        ("a", "a"),
        ("a/b/c", "a/b/c"),
        ("a%2Fb", "a/b"),
        ("a//b", "a//b"),
        ("%2e%2e", ".."),
        ("../a", "../a"),
        ("./a", "./a"),
        ("a/%2e%2E/b", "a/../b"),
        ("a+b%20c", "a+b c"),
        ("gr%C3%B6%C3%9Fe", "größe"),
        ("%25", "%"),
        ("a%3Fb%23c", "a?b#c"),
        ("topics/a", "topics/a"),
        ("a/topics/b", "a/topics/b"),
        ("a*b/c**", "a*b/c**"),
        ("%3Cscript%3E%22", "<script>\""),
        (&*"x".repeat(512), &*"x".repeat(512)),
        (&longest_path, &longest),
    ] {
        let answer = hub.ask(Request::post(&format!("/topics/{path}"), topic)).await;
        assert_eq!(answer.status(), 201, "{path}");
        assert_eq!(answer.json()["topic"], topic);
        let page = hub.get(&format!("/topics/{path}?since=-1")).await.json();
        assert_eq!(page["events"][0]["topic"], topic);
        assert_eq!(page["events"][0]["data"], topic);
    }
}

#[tokio::test]
async fn what_is_not_a_topic_is_refused() {
    let hub = Running::start().await;
    let too_long = "x".repeat(513);
    let too_long_decoded = "%E2%82%AC".repeat(171);
    for path in [
        "",
        "/",
        "/a",
        "a/",
        "%2Fa",
        "a%2f",
        "%00",
        "a%0Ab",
        "a%0D%0Ab",
        "%07",
        "%7F",
        "%C2%85",
        "%ff",
        "%c0%ae",
        "%C0%80",
        "%ED%A0%80",
        "%E2%82",
        &too_long,
        &too_long_decoded,
    ] {
        for request in [
            Request::post(&format!("/topics/{path}"), "x"),
            Request::get(&format!("/topics/{path}")),
            Request::stream(&format!("/topics/{path}")),
        ] {
            let detail = hub.ask(request).await.problem(400, "invalid-topic");
            assert!(!detail.bytes().any(|byte| byte.is_ascii_control()));
        }
        if !path.is_empty() {
            assert_eq!(hub.get(&format!("/events?topic={path}")).await.status(), 400);
        }
    }
}

#[tokio::test]
async fn wildcards_are_for_readers() {
    let hub = Running::start().await;
    for path in ["*", "**", "a/*", "*/a", "a/**", "a/*/b", "%2A", "a/%2a%2A"] {
        let post = hub.ask(Request::post(&format!("/topics/{path}"), "x")).await;
        post.problem(400, "invalid-topic");
        assert_eq!(hub.get(&format!("/topics/{path}")).await.status(), 200, "{path}");
    }
    for path in ["**/a", "a/**/b", "**/**", "/**", "*/"] {
        hub.get(&format!("/topics/{path}")).await.problem(400, "invalid-topic");
        hub.get(&format!("/events?topic=a&topic={path}")).await.problem(400, "invalid-topic");
    }
    assert!(hub.poll("/topics/**").await.events.is_empty());
}
