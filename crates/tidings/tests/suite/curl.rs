//! `curl`, over each transport, as a reader of the manual would try it.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Hub, Script, tools, within};

pub(crate) struct Curl {
    program: PathBuf,
    pub(crate) version: &'static str,
    /// The certificate of an authority that it trusts.
    pub(crate) authority: Option<PathBuf>,
}

// === impl Curl ===

impl Curl {
    pub(crate) fn find() -> Option<Self> {
        Some(Self { program: tools::program(&["curl"])?, version: "--http1.1", authority: None })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        // Without the settings of whoever runs the tests.
        command.args(["-q", "--silent", "--show-error", "--max-time", "50", "--noproxy", "*", self.version]);
        if let Some(authority) = &self.authority {
            command.arg("--cacert").arg(authority);
        }
        command.args(arguments).kill_on_drop(true);
        command
    }

    /// What it prints until it ends.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let output = within("curl to end", self.command(arguments).output()).await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl {arguments:?}: {}: {errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments).await).unwrap()
    }

    /// Lines, as they come.
    pub(crate) fn follow(&self, arguments: &[&str]) -> Script {
        Script::start(self.command(&[&["--no-buffer"], arguments].concat()))
    }
}

fn event(id: &Value, data: &str) -> Value {
    json!({"id": id, "topic": "orders/42", "data": data})
}

/// The event without its time, which nobody knows beforehand.
fn timeless(mut event: Value) -> Value {
    let time = event.as_object_mut().unwrap().remove("time").unwrap();
    assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
    event
}

#[tokio::test]
async fn curl_publishes_every_kind_of_data() {
    let Some(curl) = Curl::find() else { return };
    let hub = Hub::in_memory(&[]).await;
    let topic = hub.url("/topics/orders/42");

    let text = curl.json(&["-d", "one\ntwo", &topic]).await;
    assert_eq!(text["topic"], "orders/42");
    let named = curl.json(&["-d", "x", &format!("{topic}?event=shipped")]).await;
    let object = curl.json(&["--json", r#"{"carrier": "X"}"#, &topic]).await;
    let binary = ["-H", "Content-Type: application/octet-stream", "--data-binary", "@-", &topic];
    let mut command = curl.command(&binary);
    let file = hub.room().join("bytes");
    std::fs::write(&file, b"\0\xff").unwrap();
    command.stdin(std::fs::File::open(&file).unwrap());
    let output = within("curl to end", command.output()).await.unwrap();
    let bytes: Value = serde_json::from_slice(&output.stdout).unwrap();
    let batch = "{\"data\": 1}\n{\"data\": \"two\", \"event\": \"t\"}\n";
    let batch =
        curl.json(&["-H", "Content-Type: application/x-ndjson", "--data-binary", batch, &topic]).await;

    let page = curl.json(&[&topic]).await;
    let events: Vec<Value> = page["events"].as_array().unwrap().iter().cloned().map(timeless).collect();
    let expected = [
        event(&text["id"], "one\ntwo"),
        json!({"id": named["id"], "topic": "orders/42", "event": "shipped", "data": "x"}),
        json!({"id": object["id"], "topic": "orders/42", "data": {"carrier": "X"}}),
        json!({"id": bytes["id"], "topic": "orders/42", "encoding": "base64", "data": "AP8="}),
        json!({"id": batch["ids"][0], "topic": "orders/42", "data": 1}),
        json!({"id": batch["ids"][1], "topic": "orders/42", "event": "t", "data": "two"}),
    ];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn curl_publishes_once_with_an_idempotency_key() {
    let Some(curl) = Curl::find() else { return };
    let hub = Hub::in_memory(&[]).await;
    let topic = hub.url("/topics/orders/42");
    let publish = async |data: &str| {
        let arguments = ["-d", data, "-H", "Idempotency-Key: k", "-w", "\n%{http_code}", &topic];
        let output = curl.run(&arguments).await;
        let (body, status) = output.rsplit_once('\n').unwrap();
        (serde_json::from_str::<Value>(body).unwrap(), status.to_owned())
    };
    let (first, status) = publish("x").await;
    assert_eq!(status, "201");
    assert_eq!(publish("x").await, (first, "200".into()));
    let (problem, status) = publish("y").await;
    assert_eq!((&problem["type"], &*status), (&json!("urn:tidings:idempotency-conflict"), "422"));
    assert_eq!(curl.json(&[&topic]).await["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn curl_is_told_of_a_large_event_before_it_is_sent() {
    let Some(curl) = Curl::find() else { return };
    let hub = Hub::in_memory(&[]).await;
    let (fits, large) = (hub.room().join("fits"), hub.room().join("large"));
    std::fs::write(&fits, vec![b'x'; 1 << 20]).unwrap();
    std::fs::write(&large, vec![b'x'; (1 << 20) + 1]).unwrap();
    let publish = async |file: &PathBuf| {
        let file = format!("@{}", file.display());
        let format = "%{http_code} %{size_upload}";
        curl.run(&["--data-binary", &file, "-o", "/dev/null", "-w", format, &hub.url("/topics/a")]).await
    };
    assert_eq!(publish(&fits).await, "201 1048576");
    // curl asks for so long a body (`Expect: 100-continue`), and is told no.
    assert_eq!(publish(&large).await, "413 0");
}

/// The same cursor works over every transport and both versions of HTTP.
#[tokio::test]
async fn curl_reads_over_each_transport() {
    let Some(mut curl) = Curl::find() else { return };
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        curl.version = version;
        let hub = Hub::in_memory(&[]).await;
        let topic = hub.url("/topics/orders/42");
        let publish = async |data: &str| curl.json(&["-d", data, &topic]).await["id"].clone();
        let first = publish("one").await;

        // A short poll.
        let page = curl.json(&[&topic]).await;
        assert_eq!(timeless(page["events"][0].clone()), event(&first, "one"));
        assert_eq!((&page["next"], &page["more"]), (&first, &json!(false)));

        // A long poll, held until the next event.
        let since = page["next"].as_str().unwrap();
        let held = format!("{topic}?since={since}&wait=40");
        let held = [&*held];
        let (page, second) = tokio::join!(curl.json(&held), publish("two"));
        assert_eq!(timeless(page["events"][0].clone()), event(&second, "two"));
        let since = page["next"].as_str().unwrap();

        // Server-sent events.
        let stream = format!("{topic}?since={since}");
        let mut stream = curl.follow(&["-H", "Accept: text/event-stream", &stream]);
        stream.until("retry: 2000").await;
        stream.until(&format!("id: {since}")).await;
        let third = publish("three\nlines").await;
        let id = third.as_str().unwrap();
        for expected in ["", &format!("id: {id}"), "data: three", "data: lines", ""] {
            assert_eq!(stream.line().await.unwrap(), expected);
        }

        // Lines of JSON.
        let lines = format!("{topic}?since={since}");
        let mut lines = curl.follow(&["-H", "Accept: application/x-ndjson", &lines]);
        assert_eq!(timeless(lines.object().await), event(&third, "three\nlines"));

        // Both end with the topic, and whoever comes back is told so.
        let last = curl.json(&["-d", "last", &format!("{topic}?close=true")]).await["id"].clone();
        let id = last.as_str().unwrap();
        for expected in [&*format!("id: {id}"), "data: last", "", "event: tidings.end"] {
            assert_eq!(stream.line().await.unwrap(), expected);
        }
        while stream.line().await.is_some() {}
        stream.end().await;
        assert_eq!(timeless(lines.object().await), event(&last, "last"));
        assert_eq!(lines.object().await, json!({"end": {"id": last}}));
        assert_eq!(lines.line().await, None);
        lines.end().await;
        let place = format!("Last-Event-ID: {id}");
        let accept = "Accept: text/event-stream";
        assert_eq!(curl.run(&["-w", "%{http_code}", "-H", accept, "-H", &place, &topic]).await, "204");
        let page = curl.json(&[&format!("{topic}?since={id}&wait=40")]).await;
        assert_eq!((&page["events"], &page["closed"]), (&json!([]), &json!(true)));
    }
}

#[tokio::test]
async fn curl_is_told_what_was_wrong() {
    let Some(curl) = Curl::find() else { return };
    let hub = Hub::in_memory(&[]).await;
    let format = "\n%{http_code} %{content_type}";
    let output = curl.run(&["-w", format, &hub.url("/topics/a?since=yesterday")]).await;
    let (body, rest) = output.rsplit_once('\n').unwrap();
    assert_eq!(rest, "400 application/problem+json");
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&problem["type"], &problem["status"]), (&json!("urn:tidings:invalid-query"), &json!(400)));
    assert!(problem["detail"].as_str().unwrap().contains("yesterday"), "{problem}");
}
