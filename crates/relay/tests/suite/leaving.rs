use std::time::Instant;

use tidings_relay::OnLeave;

use crate::support::{Answer, Bench, ids, within};

#[tokio::test]
async fn a_caller_may_leave_and_come_back() {
    let mut bench = Bench::start().await;
    let (mut answer, mut asked) = bench.run().await;
    let location = answer.location();
    asked.send("data: one\n\ndata: two\n\n").await;
    answer.until("data: two\n").await;
    answer.until("\n\n").await;
    let seen = ids(&answer.text).remove(0);
    drop(answer);
    asked.send("data: three\n\n").await;
    let back =
        bench.get(&location).header("accept", "text/event-stream").header("last-event-id", &seen).send();
    let mut back = Answer::of(within("an answer", back).await.unwrap());
    back.until("data: three\n\n").await;
    asked.send("data: four\n\n").await;
    back.until("data: four\n\n").await;
    asked.finish().await;
    assert!(back.rest().await);
    let data: Vec<&str> = back.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data, ["two", "three", "four", "{}"]);
    assert!(back.text.contains("event: tidings.end\n"), "{}", back.text);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_may_be_cancelled() {
    let mut bench = Bench::with(|config| config.on_leave = OnLeave::Cancel).await;
    let (mut answer, mut asked) = bench.run().await;
    let location = answer.location();
    asked.send("data: one\n\n").await;
    answer.until("\n\n").await;
    let other = bench.get(&format!("{location}?since=earliest")).header("accept", "text/event-stream");
    let mut other = Answer::of(within("an answer", other.send()).await.unwrap());
    other.until("data: one\n\n").await;
    drop(answer);
    // Longer than it takes to notice that nobody reads.
    tokio::time::sleep(std::time::Duration::from_millis(2_000)).await;
    asked.send("data: two\n\n").await;
    other.until("data: two\n\n").await;
    drop(other);
    asked.cancelled().await;
    assert_eq!(bench.ended(&location).await["reason"], "aborted");
}

#[tokio::test]
async fn whoever_ends_the_topic_cancels_the_request() {
    let mut bench = Bench::start().await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let (mut answer, mut asked) = bench.run().await;
        let location = answer.location();
        asked.send("data: one\n\n").await;
        answer.until("\n\n").await;
        let stop = bench.post(&format!("{location}?close=true&reason=stopped")).send();
        let begun = Instant::now();
        let (stopped, ()) = tokio::join!(stop, asked.cancelled());
        times.push(begun.elapsed());
        assert_eq!(stopped.unwrap().status(), 201);
        assert!(!answer.rest().await);
        let page = bench.ended(&location).await;
        assert_eq!((page["reason"].as_str(), page["events"].as_array().unwrap().len()), (Some("stopped"), 1));
    }
    // As the endpoint sees it, with the stop's own request in it. A busy machine may delay some of them.
    assert!(times.iter().min().unwrap().as_millis() < 100, "{times:?}");
}

/// A caller who leaves before there is an answer has nothing to come back to.
#[tokio::test]
async fn a_caller_who_leaves_before_the_answer_takes_the_request_along() {
    let mut bench = Bench::start().await;
    let request = tokio::spawn(bench.post("/relay/r/slow").body("{}").send());
    let asked = bench.endpoint.asked().await;
    request.abort();
    asked.cancelled().await;
}
