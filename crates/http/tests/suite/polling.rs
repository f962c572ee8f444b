//! §3.1: short polls.

use serde_json::json;

use crate::support::{Request, Running, Setup, texts};

#[tokio::test]
async fn a_page_is_as_the_protocol_shows_it() {
    let hub = Running::start().await;
    let carrier = Request::post("/topics/orders/42?event=shipped", "{\"carrier\":\"X\"}").json();
    let receipt = hub.ask(carrier).await.json();
    let id = hub.cursor(1);
    let time = receipt["time"].as_str().unwrap();
    let answer = hub.get("/topics/orders/42").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.text(),
        format!(
            "{{\"events\":[{{\"id\":\"{id}\",\"topic\":\"orders/42\",\"event\":\"shipped\",\"time\":\"{time}\",\
             \"data\":{{\"carrier\":\"X\"}}}}],\"next\":\"{id}\",\"more\":false}}\n"
        )
    );
}

#[tokio::test]
async fn a_topic_that_nobody_published_to_is_empty() {
    let hub = Running::start().await;
    let expected = json!({"events": [], "next": hub.cursor(0), "more": false});
    assert_eq!(hub.get("/topics/nothing/here").await.json(), expected);
    assert_eq!(hub.get("/events?topic=nothing&topic=here/**").await.json(), expected);
}

#[tokio::test]
async fn next_is_the_cursor_to_go_on_with() {
    let hub = Running::start().await;
    let mut next = hub.poll("/topics/a").await.next;
    for number in 0..5 {
        hub.publish("a", &number.to_string()).await;
        let page = hub.poll(&format!("/topics/a?since={next}")).await;
        assert_eq!(texts(&page), [number.to_string()]);
        next = page.next;
    }
    let page = hub.poll(&format!("/topics/a?since={next}")).await;
    assert!(page.events.is_empty() && page.next == next);
}

#[tokio::test]
async fn next_moves_past_what_does_not_match() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    hub.publish_numbers("b", 0..20).await;
    hub.publish_typed("a", "t", "y").await;
    assert_eq!(hub.poll("/topics/a?event=message").await.next, hub.cursor(22));
    assert_eq!(hub.poll("/topics/c").await.next, hub.cursor(22));
    assert_eq!(hub.poll("/topics/*?event=nothing").await.next, hub.cursor(22));
    assert_eq!(hub.poll(&format!("/topics/c?since={}", hub.cursor(3))).await.next, hub.cursor(22));
}

#[tokio::test]
async fn a_quiet_subscription_does_not_fall_out_of_the_history() {
    let hub = Setup::keeping(20).start().await;
    let mut next = hub.poll("/topics/quiet").await.next;
    for _ in 0..10 {
        hub.publish_numbers("busy", 0..15).await;
        let page = hub.poll(&format!("/topics/quiet?since={next}")).await;
        assert!(page.gap.is_none());
        next = page.next;
    }
}

#[tokio::test]
async fn limit_is_the_most_events_of_a_page() {
    let hub = Running::start().await;
    hub.publish_numbers("a", 0..1_005).await;
    let page = hub.poll("/topics/a").await;
    assert_eq!((page.events.len(), page.more), (1_000, true));
    let page = hub.poll("/topics/a?limit=10000").await;
    assert_eq!((page.events.len(), page.more), (1_005, false));
    let page = hub.poll("/topics/a?limit=1").await;
    assert_eq!((texts(&page), page.more), (vec!["0".into()], true));
    let page = hub.poll("/topics/a?limit=1005").await;
    assert_eq!((page.events.len(), page.more), (1_005, false));
    for limit in ["0", "10001", "x", "", "-1", "1.5", "%2B5", "99999999999999999999"] {
        let detail = hub.get(&format!("/topics/a?limit={limit}")).await.problem(400, "invalid-query");
        assert!(detail.contains("10000"));
    }
}

#[tokio::test]
async fn a_page_ends_at_about_a_mebibyte() {
    let hub = Running::start().await;
    for _ in 0..5 {
        hub.publish("a", &"x".repeat(400_000)).await;
    }
    let page = hub.get("/topics/a").await;
    assert!(page.page().more);
    assert!((800_000..=1_700_000).contains(&page.body.len()), "{}", page.body.len());
    let largest = "y".repeat(1 << 20);
    hub.publish("b", &largest).await;
    hub.publish("b", &largest).await;
    let page = hub.poll("/topics/b").await;
    assert_eq!((texts(&page), page.more), (vec![largest], true));
}

#[tokio::test]
async fn pages_put_together_are_the_whole() {
    // From memory, from the log, and across both.
    for tail_bytes in [64 << 20, 20_000, 0] {
        let mut setup = Setup::new();
        setup.hub.tail_bytes = tail_bytes;
        let hub = setup.start().await;
        let mut wire = hub.connect().await;
        let mut expected = Vec::new();
        for batch in 0..30 {
            let numbers = batch * 10..batch * 10 + 10;
            hub.publish_numbers(if batch % 3 == 0 { "b" } else { "a" }, numbers.clone()).await;
            if batch % 3 != 0 {
                expected.extend(numbers.map(|number| number.to_string()));
            }
        }
        for limit in [1, 7, 10, 100, 200, 1_000] {
            for target in ["/topics/a?x", "/events?topic=a&topic=c", "/topics/a?event=message"] {
                let (mut seen, mut next) = (Vec::new(), "earliest".to_owned());
                loop {
                    let page =
                        wire.ask(&Request::get(&format!("{target}&limit={limit}&since={next}"))).await.page();
                    assert!(page.events.len() <= limit);
                    assert!(!page.events.is_empty() || !page.more, "more was promised");
                    seen.extend(texts(&page));
                    next = page.next;
                    if !page.more {
                        break;
                    }
                }
                assert_eq!(seen, expected, "{target} by {limit}");
                assert_eq!(next, hub.cursor(300));
            }
        }
    }
}

#[tokio::test]
async fn more_is_not_said_where_only_others_follow() {
    let hub = Running::start().await;
    hub.publish_numbers("a", 0..3).await;
    hub.publish_numbers("b", 0..10).await;
    let page = hub.poll("/topics/a?limit=3").await;
    assert_eq!((page.events.len(), page.more, page.next), (3, false, hub.cursor(13)));
    // Also where there are more of them than one look at the log passes.
    let mut setup = Setup::new();
    setup.hub.tail_bytes = 0;
    let hub = setup.start().await;
    hub.publish("a", "x").await;
    hub.publish_numbers("b", 0..40_000).await;
    let page = hub.poll("/topics/a?limit=1").await;
    assert_eq!((page.events.len(), page.more, page.next), (1, false, hub.cursor(40_001)));
}

#[tokio::test]
async fn only_the_named_event_types_are_read() {
    let hub = Running::start().await;
    hub.publish("a", "plain").await;
    hub.publish_typed("a", "s", "of s").await;
    hub.publish_typed("a", "t%20u", "of t u").await;
    hub.publish_typed("a", "message", "of message").await;
    assert_eq!(hub.read("/topics/a?event=s").await, ["of s"]);
    assert_eq!(hub.read("/topics/a?event=s&event=t+u").await, ["of s", "of t u"]);
    assert_eq!(hub.read("/topics/a?event=message").await, ["plain", "of message"]);
    assert_eq!(hub.read("/topics/a?event=S").await, [""; 0]);
    assert_eq!(hub.read("/topics/a").await.len(), 4);
    assert_eq!(hub.read("/topics/*?event=s&event=message").await, ["plain", "of s", "of message"]);
}

#[tokio::test]
async fn a_union_of_selectors_has_each_event_once_and_in_order() {
    let hub = Running::start().await;
    for topic in ["a", "b", "a/x", "c", "b/x/y", "a"] {
        hub.publish(topic, topic).await;
    }
    assert_eq!(hub.read("/events?topic=a&topic=b").await, ["a", "b", "a"]);
    assert_eq!(hub.read("/events?topic=a&topic=a").await, ["a", "a"]);
    assert_eq!(hub.read("/events?topic=a&topic=*&topic=**&topic=a/*").await.len(), 6);
    assert_eq!(hub.read("/events?topic=*/x&topic=a").await, ["a", "a/x", "a"]);
}

#[tokio::test]
async fn patterns_match_whole_segments() {
    let hub = Running::start().await;
    for topic in ["a", "a/b", "a/b/c", "ab", "b/b", "b", "a//c"] {
        hub.publish(topic, topic).await;
    }
    assert_eq!(hub.read("/topics/*").await, ["a", "ab", "b"]);
    assert_eq!(hub.read("/topics/a/*").await, ["a/b"]);
    assert_eq!(hub.read("/topics/a/**").await, ["a/b", "a/b/c", "a//c"]);
    assert_eq!(hub.read("/topics/*/b").await, ["a/b", "b/b"]);
    assert_eq!(hub.read("/topics/a/*/c").await, ["a/b/c", "a//c"]);
    assert_eq!(hub.read("/topics/**").await.len(), 7);
    assert_eq!(hub.read("/topics/%2A%2a").await.len(), 7);
}

#[tokio::test]
async fn up_to_a_hundred_selectors_are_read_together() {
    let hub = Running::start().await;
    hub.publish("t99", "x").await;
    let target = |count| {
        let selectors: Vec<_> = (0..count).map(|n| format!("topic=t{n}")).collect();
        format!("/events?{}", selectors.join("&"))
    };
    assert_eq!(hub.read(&target(100)).await, ["x"]);
    for form in ["application/json", "text/event-stream", "application/x-ndjson"] {
        let refused = hub.ask(Request::get(&target(101)).accept(form)).await;
        assert!(refused.problem(400, "invalid-query").contains("100"));
    }
    hub.get("/events").await.problem(400, "invalid-query");
    hub.get("/events?since=latest").await.problem(400, "invalid-query");
    hub.get("/events?topic=").await.problem(400, "invalid-topic");
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    assert_eq!(hub.read("/topics/a?_=17&&%ff=%ff&since=earliest&flag").await, ["x"]);
    hub.ask(Request::post("/topics/a?_=17&since=nonsense", "y")).await.id();
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    let mut wire = hub.connect().await;
    for target in
        ["/topics/a", "/events?topic=a", "/topics", "/topics/a?since=latest&wait=20ms", "/healthz", "/readyz"]
    {
        let get = wire.ask(&Request::get(target)).await;
        let head = wire.ask(&Request::new("HEAD", target)).await;
        assert_eq!((head.status(), get.status()), (200, 200));
        for name in ["content-type", "content-length", "etag", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {target}");
        }
    }
    let refused = wire.ask(&Request::new("HEAD", "/topics/a?since=x")).await;
    assert_eq!((refused.status(), refused.header("content-type")), (400, Some("application/problem+json")));
    wire.ask(&Request::get("/healthz")).await;
}

#[tokio::test]
async fn no_cache_ever_keeps_a_page() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    let answer = hub.get("/topics/a").await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let vary = answer.header("vary").unwrap().to_ascii_lowercase();
    assert!(vary.contains("accept") && vary.contains("last-event-id"));
}

#[tokio::test]
async fn a_page_that_is_known_by_its_tag_is_not_sent_again() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    let tag = hub.get("/topics/a").await.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'));
    let ask = |tags: &str| hub.ask(Request::get("/topics/a").header("if-none-match", tags));
    for known in [tag.clone(), format!("\"other\", {tag}"), format!("W/{tag}")] {
        let answer = ask(&known).await;
        assert_eq!((answer.status(), answer.body.len()), (304, 0), "{known}");
        assert_eq!(answer.header("etag"), Some(&*tag));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert_eq!(ask("\"other\"").await.status(), 200);
    hub.publish("a", "y").await;
    assert_eq!(texts(&ask(&tag).await.page()), ["x", "y"]);
}

#[tokio::test]
async fn pages_that_differ_have_different_tags() {
    let hub = Running::start().await;
    let mut tags = Vec::new();
    let mut note = async |target: &str| {
        let tag = hub.get(target).await.header("etag").unwrap().to_owned();
        assert!(!tags.contains(&tag), "{tag} of {target}");
        tags.push(tag);
    };
    note("/topics/a").await;
    hub.publish_numbers("a", 0..3).await;
    note("/topics/a").await;
    note("/topics/a?limit=1").await;
    note("/topics/a?since=-1").await;
    note("/topics/a?since=-2").await;
    note("/topics/a?since=latest").await;
    note("/topics/a?lastEventId=nonsense").await;
    hub.close_topic("a").await;
    note("/topics/a").await;
}
