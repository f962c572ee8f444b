use std::time::{Duration, Instant};

use crate::support::{Answer, Bench, ids, within};

async fn bench() -> Bench {
    Bench::with(|config| {
        (config.share, config.methods) = (true, None);
    })
    .await
}

async fn answer(bench: &Bench, path: &str) -> Answer {
    let request = bench.get(path).header("accept", "text/event-stream").send();
    Answer::of(within("an answer", request).await.unwrap())
}

#[tokio::test]
async fn callers_of_the_same_url_share_one_answer() {
    let mut bench = bench().await;
    let first = tokio::spawn(bench.get("/relay/r/feed?a=1&access_token=own").send());
    let mut asked = bench.endpoint.asked().await;
    assert!(asked.head.starts_with("get /feed?a=1 http/1.1\r\n"), "{}", asked.head);
    let second = tokio::spawn(bench.get("/relay/r/feed?a=1").send());
    asked.begin("text/event-stream").await;
    asked.send("id: 7\ndata: one\n\n").await;
    let mut first = Answer::of(within("an answer", first).await.unwrap().unwrap());
    first.until("data: one\n\n").await;
    let mut second = Answer::of(within("an answer", second).await.unwrap().unwrap());
    let mut third = answer(&bench, "/relay/r/feed?a=1").await;
    assert_eq!(first.location(), third.location());
    assert_eq!(first.location(), second.location());
    asked.send("data: two\n\n").await;
    for reader in [&mut first, &mut second, &mut third] {
        reader.until("data: two\n\n").await;
        assert!(!reader.text.contains("tidings."), "{}", reader.text);
        let blocks = reader.text.split_terminator("\n\n").filter(|block| !block.contains("data: "));
        assert_eq!(blocks.count(), 0, "a block without data: {:?}", reader.text);
    }
    assert!(bench.endpoint.is_quiet(), "the endpoint was asked more than once");
    // Who comes back gets what it missed.
    let seen = ids(&first.text).remove(0);
    drop(first);
    let back = bench.get("/relay/r/feed?a=1").header("last-event-id", seen).send();
    let mut back = Answer::of(within("an answer", back).await.unwrap());
    back.until("data: two\n\n").await;
    assert!(!back.text.contains("one"), "{}", back.text);
    // Another URL is another answer.
    let other = tokio::spawn(bench.get("/relay/r/feed?a=2").send());
    let asked_too = bench.endpoint.asked().await.events().await;
    let other = Answer::of(within("an answer", other).await.unwrap().unwrap());
    assert_ne!(other.location(), third.location());
    drop(asked_too);
}

#[tokio::test]
async fn it_goes_on_where_the_endpoint_broke_off() {
    let mut bench = bench().await;
    let request = tokio::spawn(bench.get("/relay/r/feed").send());
    let mut asked = bench.endpoint.asked().await.events().await;
    let mut reader = Answer::of(within("an answer", request).await.unwrap().unwrap());
    asked.send("retry: 50\n\nid: 7\ndata: one\n\n").await;
    reader.until("data: one\n\n").await;
    for (status, id) in [("500 Internal Server Error", "7"), ("200 OK", "7")] {
        drop(asked);
        asked = bench.endpoint.asked().await;
        assert_eq!(asked.field("last-event-id"), Some(id));
        asked
            .write(format!(
                "HTTP/1.1 {status}\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            ))
            .await;
    }
    asked.send("id: 8\ndata: two\n\n").await;
    reader.until("data: two\n\n").await;
    asked.finish().await;
    let mut asked = bench.endpoint.asked().await;
    assert_eq!(asked.field("last-event-id"), Some("8"));
    asked.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(reader.rest().await, "nothing ever follows, and that is a clean end");
    assert_eq!(bench.ended(&reader.location()).await.get("reason"), None);
}

#[tokio::test]
async fn other_answers_are_for_the_one_who_asked() {
    let mut bench = bench().await;
    for status in ["404 Not Found", "403 Forbidden"] {
        let request = tokio::spawn(bench.get("/relay/r/feed").send());
        bench.endpoint.asked().await.write(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await;
        let response = within("an answer", request).await.unwrap().unwrap();
        assert!(status.starts_with(response.status().as_str()), "{status}");
    }
}

#[tokio::test]
async fn what_nobody_reads_is_kept_for_a_while_and_then_cancelled() {
    let mut bench = Bench::with(|config| {
        (config.share, config.methods) = (true, None);
        config.share_linger = Duration::from_secs(3);
    })
    .await;
    let request = tokio::spawn(bench.get("/relay/r/feed").send());
    let mut asked = bench.endpoint.asked().await.events().await;
    let mut first = Answer::of(within("an answer", request).await.unwrap().unwrap());
    asked.send("data: one\n\n").await;
    first.until("data: one\n\n").await;
    let location = first.location();
    drop(first);
    // Who comes while it is kept joins it.
    asked.send("data: two\n\n").await;
    let mut second = answer(&bench, "/relay/r/feed").await;
    assert_eq!(second.location(), location);
    asked.send("data: three\n\n").await;
    second.until("data: three\n\n").await;
    assert!(bench.endpoint.is_quiet(), "the endpoint was asked more than once");
    let begun = Instant::now();
    drop(second);
    asked.cancelled().await;
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(bench.ended(&location).await["reason"], "aborted");
    // And who comes later begins anew.
    let request = tokio::spawn(bench.get("/relay/r/feed").send());
    let asked = bench.endpoint.asked().await.events().await;
    let third = Answer::of(within("an answer", request).await.unwrap().unwrap());
    assert_ne!(third.location(), location);
    drop(asked);
}
