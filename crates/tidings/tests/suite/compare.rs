//! `tidings compare`: at hubs of its own, at a hub that is there, and through nginx in the ways in which it is in the way.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::hub::{command, room};
use crate::support::proxy::ProxySetup;
use crate::support::{Hub, Proxy};

/// It bounds itself; this is for when it does not.
const PATIENCE: Duration = Duration::from_secs(150);

async fn compare(folder: &Path, arguments: &[&str]) -> Output {
    let run = command(folder).arg("compare").args(arguments).kill_on_drop(true).output();
    tokio::time::timeout(PATIENCE, run).await.expect("a comparison has an end").unwrap()
}

async fn outcome(folder: &Path, arguments: &[&str]) -> Value {
    let output = compare(folder, &[arguments, &["--json"]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const SMALL: [&str; 4] = ["--rates", "20", "--duration", "400ms"];

/// What every lane of a comparison has.
fn is_measured(lane: &Value) {
    assert_eq!(lane["omitted"], Value::Array(Vec::new()), "{lane}");
    assert!(lane["waiting"]["each_beat"]["bytes_received"].as_f64().unwrap() > 0.0, "{lane}");
    for cell in lane["delivering"].as_array().unwrap() {
        assert_eq!(cell["delivered"], 1.0, "{lane}");
        assert!(cell["delay_p50"].as_f64().unwrap() > 0.0, "{lane}");
        assert!(cell["event"]["bytes_received"].as_f64().unwrap() > 50.0, "{lane}");
    }
}

#[tokio::test]
async fn hubs_of_its_own_are_compared_over_every_protocol_and_leave_nothing_behind() {
    let room = room();
    let temporary = TempDir::new_in(room.path()).unwrap();
    let arguments =
        [&SMALL[..], &["--transports", "sse", "--clients", "5,60", "--json", "--html", "page.html"]].concat();
    let run = command(room.path())
        .arg("compare")
        .args(arguments)
        .env("TMPDIR", temporary.path())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, run).await.expect("a comparison has an end").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lanes = outcome["lanes"].as_array().unwrap();
    let wires: Vec<_> = lanes.iter().map(|lane| lane["wire"].as_str().unwrap()).collect();
    assert_eq!(wires, ["HTTP/1.1", "HTTP/2", "HTTP/1.1 over TLS", "HTTP/2 over TLS"]);
    lanes.iter().for_each(is_measured);
    // Its processes are known, so what they take is.
    for lane in lanes {
        assert!(lane["waiting"]["memory"].is_number(), "{lane}");
        assert!(lane["delivering"][0]["event"]["hub_us"].is_number(), "{lane}");
    }
    assert!(said.contains("SSE over HTTP/2, TLS"), "it says how far it is: {said}");
    let page = std::fs::read_to_string(room.path().join("page.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("What stands between"), "{page}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "its folder is gone");
}

#[tokio::test]
async fn a_hub_that_is_there_is_compared_by_every_transport() {
    let hub = Hub::in_memory(&[]).await;
    let room = room();
    let outcome = outcome(
        room.path(),
        &[&SMALL[..], &["--clients", "1,5", "--url", &hub.url(""), "--intervals", "300ms,5s"]].concat(),
    )
    .await;
    let lanes = outcome["lanes"].as_array().unwrap();
    let over = |wire: &str| -> Vec<&str> {
        let lanes = lanes.iter().filter(|lane| lane["wire"] == wire);
        lanes.map(|lane| lane["transport"].as_str().unwrap()).collect()
    };
    assert_eq!(over("HTTP/1.1"), ["poll-300ms", "poll-5s", "long-poll", "sse", "websocket"]);
    assert_eq!(over("HTTP/2"), ["poll-300ms", "poll-5s", "long-poll", "sse", "websocket"]);
    lanes.iter().for_each(is_measured);
    let lane = |transport: &str| lanes.iter().find(|lane| lane["transport"] == transport).unwrap();
    // A long poll takes a request for each event, and a stream none.
    let requests = |transport: &str| lane(transport)["delivering"][0]["event"]["requests"].as_f64().unwrap();
    assert!(
        requests("long-poll") > 0.5 && requests("sse") == 0.0 && requests("websocket") == 0.0,
        "{lanes:?}"
    );
    let delay = |transport: &str| lane(transport)["delivering"][0]["delay_p50"].as_f64().unwrap();
    assert!(delay("poll-5s") > 2_000.0 && delay("poll-300ms") > 50.0, "{lanes:?}");
    assert_eq!(
        (&lane("poll-300ms")["measured"], &lane("poll-5s")["measured"]),
        (&true.into(), &false.into())
    );
    let said = outcome["conclusions"].to_string();
    assert!(
        said.contains("At every rate a long poll moves more than twice the bytes of an SSE stream"),
        "{said}"
    );
    assert!(outcome["intermediaries"]["streams"]["first_byte_ms"].is_number(), "{outcome}");
}

#[tokio::test]
async fn what_cannot_be_compared_says_why() {
    let room = room();
    let nobody = format!("http://127.0.0.1:{}", tidings_engine_servers::quiet_port());
    for (arguments, code, said) in [
        (&["--url", &nobody, "--check"][..], 1, "failed to connect"),
        (&["--url", "ftp://hub"], 2, "`ftp://hub` is no URL"),
        (&["--rates", "1/min"], 2, "give rates of which there is an event within"),
        (&["--rates", "often"], 2, "a rate is a number of events a second"),
        (&["--clients", "0"], 2, "--clients: from 1 to 10000"),
        (&["--topic", "a/*"], 2, "--topic: `a/*` is no topic"),
        (&["--idle", "2h"], 2, "--idle: more than nothing and at most 60m"),
    ] {
        let output = compare(room.path(), arguments).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
    let closed = Hub::in_memory(&["--auth-anonymous-subscribe", "**"]).await;
    let output = compare(room.path(), &["--url", &closed.url(""), "--check"]).await;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("`--token` is shown to the hub"), "{text}");
    assert_eq!(output.status.code(), Some(1), "{text}");
}

/// nginx before a hub, with these directives for it.
async fn through(hub: &Hub, directives: &'static str) -> Option<Proxy> {
    let address = hub.address();
    Proxy::nginx(move |place: &ProxySetup| {
        let listen = place.listen;
        format!("server {{ listen {listen}; location / {{ proxy_pass http://{address}; {directives} }} }}")
    })
    .await
}

async fn check(proxy: &Proxy, more: &[&str]) -> Value {
    let room = room();
    let url = format!("http://{}", proxy.address());
    outcome(room.path(), &[&["--check", "--url", &url], more].concat()).await["intermediaries"].take()
}

#[tokio::test]
async fn nginx_as_it_is_lets_streams_pass() {
    let hub = Hub::in_memory(&[]).await;
    let Some(proxy) = through(&hub, "").await else { return };
    let found = check(&proxy, &[]).await;
    assert_eq!(found["streams"]["held_back"], false, "{found}");
    assert!(found["streams"]["most_delay_ms"].is_number(), "{found}");
    assert!(found["pages"]["through"][0].as_str().unwrap().contains("nginx"), "{found}");
    assert!(
        found["pages"].get("coding").is_none() && found["compressed_streams"].get("coding").is_none(),
        "{found}"
    );
    assert_eq!(found["protocols"]["http2"], false, "{found}");
    // It passes no `Upgrade` on unless it is told to.
    assert_eq!(found["upgrade"], "stripped", "{found}");
}

#[tokio::test]
async fn a_websocket_passes_where_nginx_is_told_of_it() {
    let hub = Hub::in_memory(&[]).await;
    let passing = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
    let Some(proxy) = through(&hub, passing).await else { return };
    assert_eq!(check(&proxy, &[]).await["upgrade"], "passes");
}

#[tokio::test]
async fn a_stream_that_nginx_collects_is_held_back() {
    let hub = Hub::in_memory(&[]).await;
    let Some(proxy) = through(&hub, "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;").await
    else {
        return;
    };
    let found = check(&proxy, &[]).await;
    assert_eq!(found["streams"]["held_back"], true, "{found}");
    // It has eight buffers of a page each.
    let held = found["streams"]["held_back_bytes"].as_u64().unwrap();
    assert!((2_000..=80_000).contains(&held), "{found}");
    // Whoever compares here is told, and gets the rest.
    let room = room();
    let url = format!("http://{}", proxy.address());
    let output = compare(
        room.path(),
        &[&SMALL[..], &["--clients", "5", "--url", &url, "--transports", "long-poll,sse"]].concat(),
    )
    .await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("✗ streams") && text.contains("proxy_buffering"), "{text}");
    assert!(text.contains("SSE over HTTP/1.1: something in between holds streams back"), "{text}");
    assert!(
        text.lines().any(|line| line.trim_start().starts_with("20/s") && line.contains("long poll")),
        "{text}"
    );
}

#[tokio::test]
async fn compression_on_the_way_is_told() {
    let hub = Hub::in_memory(&[]).await;
    let packing =
        "gzip on; gzip_min_length 0; gzip_http_version 1.0; gzip_types application/json text/event-stream;";
    let Some(proxy) = through(&hub, packing).await else { return };
    let found = check(&proxy, &[]).await;
    assert_eq!(found["pages"]["coding"], "gzip", "{found}");
    assert_eq!(found["compressed_streams"]["coding"], "gzip", "{found}");
    assert!(found["streams"].get("coding").is_none(), "who does not ask for it gets none: {found}");
}

#[tokio::test]
async fn silent_connections_that_nginx_cuts_are_told_with_their_time() {
    let hub = Hub::in_memory(&[]).await;
    let Some(proxy) = through(&hub, "proxy_read_timeout 3s;").await else { return };
    let found = check(&proxy, &["--idle", "20s"]).await;
    for (kind, status) in [("stream", Value::Null), ("long_poll", 504.into())] {
        let after = found["silences"][kind]["cut_after"].as_f64().unwrap();
        assert!((2.5..15.0).contains(&after), "{kind}: {found}");
        assert_eq!(found["silences"][kind].get("status").cloned().unwrap_or_default(), status, "{found}");
    }
}
