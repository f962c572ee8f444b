use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

use crate::support::{Answer, Asked, Bench, within};

/// Asks, and has the endpoint do something. Gives what the caller gets.
async fn answered(bench: &mut Bench, act: impl AsyncFnOnce(Asked)) -> Response {
    let request = tokio::spawn(bench.post("/relay/r/v1/chat").body("{}").send());
    act(bench.endpoint.asked().await).await;
    within("an answer", request).await.unwrap().unwrap()
}

async fn problem(response: Response) -> (u16, String, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let text = response.text().await.unwrap();
    let problem: Value = serde_json::from_str(&text).unwrap();
    (status, problem["type"].as_str().unwrap().to_owned(), problem["detail"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn other_answers_are_passed_on_as_they_are() {
    let mut bench = Bench::start().await;
    let response = answered(&mut bench, async |mut asked| {
        asked
            .write("HTTP/1.1 302 Found\r\nlocation: https://elsewhere.example/x\r\ncontent-length: 0\r\n\r\n")
            .await;
    })
    .await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (302, &"https://elsewhere.example/x".parse().unwrap())
    );

    let response = answered(&mut bench, async |mut asked| {
        asked
            .write("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 15\r\n\r\n<script></scrip")
            .await;
    })
    .await;
    assert_eq!(response.headers()["content-type"], "text/html");
    // It is no page of the hub's.
    assert_eq!(response.headers()["content-security-policy"], "sandbox");
    assert!(!response.headers().contains_key("location"));
    assert_eq!(response.text().await.unwrap(), "<script></scrip");

    let response = answered(&mut bench, async |mut asked| {
        asked.write("HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/event-stream\r\nretry-after: 3\r\ncontent-length: 9\r\n\r\ndata: x\n\n").await;
    })
    .await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &"3".parse().unwrap())
    );
    assert_eq!(response.text().await.unwrap(), "data: x\n\n");
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_a_problem() {
    let mut bench = Bench::with(|config| config.first_byte_timeout = Duration::from_millis(300)).await;
    let response = answered(&mut bench, async |asked| drop(asked)).await;
    let (status, kind, _) = problem(response).await;
    assert_eq!((status, &*kind), (502, "urn:tidings:upstream-failed"));

    let request = tokio::spawn(bench.post("/relay/r/v1/chat").body("{}").send());
    let silent = bench.endpoint.asked().await;
    let (status, kind, detail) = problem(within("an answer", request).await.unwrap().unwrap()).await;
    assert_eq!((status, &*kind), (504, "urn:tidings:upstream-timeout"));
    assert!(detail.contains("first-byte-timeout"), "{detail}");
    silent.cancelled().await;

    let response = answered(&mut bench, async |mut asked| asked.write("nonsense\r\n\r\n").await).await;
    assert_eq!(problem(response).await.0, 502);

    let nobody = Bench::with(|config| "http://127.0.0.1:1".clone_into(&mut config.url)).await;
    let response = within("an answer", nobody.post("/relay/r/").body("{}").send()).await.unwrap();
    let (status, kind, detail) = problem(response).await;
    assert_eq!((status, &*kind), (502, "urn:tidings:upstream-failed"), "{detail}");
}

#[tokio::test]
async fn packed_events_are_a_problem() {
    let mut bench = Bench::start().await;
    let response = answered(&mut bench, async |mut asked| {
        asked
            .write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\nxx")
            .await;
    })
    .await;
    let (status, _, detail) = problem(response).await;
    assert!(status == 502 && detail.contains("gzip"), "{detail}");
}

/// Sends an answer with events, and gives the reason that its topic ends with.
async fn ends(bench: &mut Bench, act: impl AsyncFnOnce(Asked)) -> String {
    let (mut answer, asked) = bench.run().await;
    act(asked).await;
    assert!(!answer.rest().await, "it seems whole: {:.200}", answer.text);
    let page = bench.ended(&answer.location()).await;
    page["reason"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn answers_that_cannot_be_kept_end_their_topics() {
    let mut bench = Bench::with(|config| config.silence_timeout = Duration::from_millis(300)).await;
    // Endless: it is not read to its end.
    let endless = async |mut asked: Asked| {
        let piece = crate::support::endpoint::chunk(&[b'x'; 64 << 10]);
        let mut sent = 0;
        while sent < 1 << 30 && asked.try_write(&piece).await.is_ok() {
            sent += piece.len();
        }
        assert!(sent < 64 << 20, "{sent} bytes were read of a line");
    };
    assert_eq!(ends(&mut bench, endless).await, "aborted");
    let large = async |mut asked: Asked| {
        let line = [b"data: ", &[b'x'; 500 << 10][..], b"\n"].concat();
        for _ in 0..3 {
            drop(asked.try_write(crate::support::endpoint::chunk(&line)).await);
        }
        asked.cancelled().await;
    };
    assert_eq!(ends(&mut bench, large).await, "aborted");
    let page = async |mut asked: Asked| {
        asked.send("<!doctype html>\n<title>Sorry</title>\n").await;
        asked.finish().await;
    };
    assert_eq!(ends(&mut bench, page).await, "aborted");
    let silent = async |mut asked: Asked| {
        asked.send("data: one\n\n").await;
        asked.cancelled().await;
    };
    assert_eq!(ends(&mut bench, silent).await, "aborted");
    let odd_type = async |mut asked: Asked| {
        asked.send(format!("event: {}\ndata: x\n\n", "t".repeat(200))).await;
        asked.cancelled().await;
    };
    assert_eq!(ends(&mut bench, odd_type).await, "aborted");
}

#[tokio::test]
async fn a_relay_that_leads_to_itself_is_found_out() {
    let bench = Bench::start().await;
    let response = within("an answer", bench.post("/relay/round/x").body("{}").send()).await.unwrap();
    let (status, kind, _) = problem(response).await;
    assert_eq!((status, &*kind), (508, "urn:tidings:loop-detected"));
}

#[tokio::test]
async fn paths_lead_below_the_endpoint_or_nowhere() {
    let mut bench = Bench::with(|config| config.url.push_str("/below")).await;
    for path in ["/relay/r/%2e%2e/x", "/relay/r/a/..%5cx/%2E%2E"] {
        let answer =
            bench.raw(&format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
    }
    assert!(bench.endpoint.is_quiet());
    let response = bench.post("/relay/nothing/x").send().await.unwrap();
    assert_eq!(problem(response).await.0, 404);
    let response = bench.get("/relay/r/x").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "POST");
    assert_eq!(problem(response).await.0, 405);
}

#[tokio::test]
async fn there_are_only_so_many_runs() {
    let mut bench = Bench::with(|config| config.max_runs = 1).await;
    let (answer, asked) = bench.run().await;
    let response = bench.post("/relay/r/x").body("{}").send().await.unwrap();
    let (status, kind, detail) = problem(response).await;
    assert!((status, &*kind) == (503, "urn:tidings:busy") && detail.contains("max-runs"), "{detail}");
    let location = answer.location();
    asked.finish().await;
    bench.ended(&location).await;
    let again = async {
        loop {
            let response = bench.post("/relay/r/x").body("{}").send();
            let serve = async { bench.endpoint.asked().await.events().await };
            tokio::select! {
                response = response => assert_eq!(response.unwrap().status(), 503),
                _ = serve => return,
            }
        }
    };
    within("room for another", again).await;
}

#[tokio::test]
async fn an_answer_to_head_has_no_topic() {
    let mut bench =
        Bench::with(|config| config.methods = Some(vec!["GET".to_owned(), "HEAD".to_owned()])).await;
    let request = tokio::spawn(bench.client.head(bench.url("/relay/r/x")).send());
    let mut asked = bench.endpoint.asked().await;
    asked.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
    let response = within("an answer", request).await.unwrap().unwrap();
    assert!(response.status() == 200 && !response.headers().contains_key("location"));
    let request = tokio::spawn(bench.get("/relay/r/x").send());
    let mut asked = bench.endpoint.asked().await.events().await;
    asked.send("data: one\n\n").await;
    let mut answer = Answer::of(within("an answer", request).await.unwrap().unwrap());
    answer.until("data: one\n").await;
}
