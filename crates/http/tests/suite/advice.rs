//! §3.1: a word to whoever polls a busy topic again and again.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Request, Running, Setup};

/// What a client is told that polls so many times, each time for the event that came before, with these fields.
async fn polled(hub: &Running, polls: usize, agent: &str, query: &str) -> Vec<Value> {
    let mut next = hub.poll("/topics/busy?since=latest").await.next;
    let mut told = Vec::new();
    for number in 0..polls {
        hub.publish("busy", &number.to_string()).await;
        let request = Request::get(&format!("/topics/busy?since={next}{query}")).header("user-agent", agent);
        let page = hub.ask(request).await.json();
        assert_eq!(page["events"].as_array().unwrap().len(), 1, "{page}");
        page["next"].as_str().unwrap().clone_into(&mut next);
        told.extend(page.get("advice").cloned());
    }
    told
}

#[tokio::test]
async fn who_polls_a_busy_topic_is_told_of_streams_once() {
    let hub = Running::start().await;
    for (known, agent) in ["somebody", "somebody else"].into_iter().enumerate() {
        let told = polled(&hub, 12, agent, "").await;
        let [advice] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(advice["transport"], "stream");
        let detail = advice["detail"].as_str().unwrap();
        assert!(detail.starts_with("5 events came by 5 polls in the last "), "{detail}");
        assert_eq!(hub.metric("tidings_advised_polls_total").await, known as u64 + 1);
    }
    // A long poll that finds something is no better.
    assert_eq!(polled(&hub, 12, "a third", "&wait=5").await.len(), 1);
}

/// A page that is for everybody has nothing in it for one alone.
#[tokio::test]
async fn a_page_that_caches_keep_has_no_advice() {
    let mut setup = Setup::new();
    setup.http.cache = Duration::from_secs(60);
    let hub = setup.start().await;
    assert_eq!(polled(&hub, 12, "somebody", "").await, Vec::<Value>::new());
    assert_eq!(hub.metric("tidings_advised_polls_total").await, 0);
}

#[tokio::test]
async fn who_reads_what_was_is_not_told() {
    let hub = Running::start().await;
    hub.publish_numbers("busy", 0..40).await;
    // Page by page to the end, twice: there is more each time.
    for _ in 0..2 {
        let mut next = hub.cursor(0);
        for _ in 0..20 {
            let page = hub.get(&format!("/topics/busy?since={next}&limit=2")).await.json();
            assert!(page.get("advice").is_none(), "{page}");
            page["next"].as_str().unwrap().clone_into(&mut next);
        }
    }
    // The same page again and again is the same page.
    let answers: Vec<_> =
        [(); 12].map(|()| hub.get(&format!("/topics/busy?since={}", hub.cursor(30)))).into();
    let mut pages = Vec::new();
    for answer in answers {
        pages.push(answer.await.text().to_owned());
    }
    assert!(pages.windows(2).all(|two| two[0] == two[1]), "{pages:?}");
}

/// The tag of a page tells it from the same one without the word.
#[tokio::test]
async fn a_page_with_advice_has_a_tag_of_its_own() {
    let hub = Running::start().await;
    let mut tags = Vec::new();
    let mut next = hub.cursor(0);
    for number in 0..5 {
        hub.publish("busy", &number.to_string()).await;
        let answer = hub.get(&format!("/topics/busy?since={next}")).await;
        let again = hub.get(&format!("/topics/busy?since={next}")).await;
        assert_eq!(answer.header("etag") == again.header("etag"), answer.text() == again.text());
        tags.push(answer.header("etag").unwrap().contains("advice"));
        answer.json()["next"].as_str().unwrap().clone_into(&mut next);
    }
    assert_eq!(tags, [false, false, false, false, true]);
}
