//! Signals that do not mean the end are not the end.

use http::Request;
use http_body_util::Full;
use rustix::process::Signal;

use crate::support::Hub;

#[tokio::test]
async fn a_hub_without_a_certificate_lives_through_signals_that_mean_nothing() {
    let mut hub = Hub::on_disk(&[]).await;
    for (signal, line) in [
        (Signal::HUP, "nothing to do on SIGHUP"),
        (Signal::USR1, "ignored SIGUSR1"),
        (Signal::USR2, "ignored SIGUSR2"),
    ] {
        hub.signal(signal);
        hub.logged(line, 1).await;
    }
    hub.signal(Signal::PIPE);
    hub.signal(Signal::XFSZ);
    hub.publish("a", "still there").await;
    let (status, _) = hub.terminate().await;
    assert_eq!(status.code(), Some(0), "{status}");
}

/// What the shell's `ulimit -f` sets. Segments of the log are small enough for it, but for one with a large event.
#[tokio::test]
async fn a_file_that_may_not_grow_is_a_full_disk() {
    let mut hub = Hub::on_disk_below("ulimit -f 1024", &["--retain-bytes", "1MiB"]).await;
    hub.publish("a", "small").await;
    let large = Request::post("/topics/a").body(Full::from("x".repeat(900 << 10))).unwrap();
    let refused = hub.ask(large).await;
    assert_eq!(refused.status, 507, "{}", refused.text());
    assert_eq!(refused.json()["type"], "urn:tidings:log-full");

    // It goes on with what there is room for, also after a restart.
    hub.publish("a", "small as well").await;
    hub.terminate().await;
    hub.start_again().await;
    let page = hub.get("/topics/a").await.json();
    let data: Vec<_> = page["events"].as_array().unwrap().iter().map(|event| event["data"].clone()).collect();
    assert_eq!(data, ["small", "small as well"]);
}

/// As where a limit is set for a hub that has a log already: its segment is larger than what is allowed now.
#[tokio::test]
async fn a_segment_beyond_what_a_file_may_have_now_is_a_full_disk() {
    use rustix::process::{Resource, Rlimit, prlimit};
    let mut hub = Hub::on_disk(&[]).await;
    for number in 0..5 {
        hub.publish("a", format!("{number}{}", "x".repeat(100_000))).await;
    }
    let process = Some(hub.process());
    let limit = |bytes| prlimit(process, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    // One is before where the log has come to, and one is in the middle of what is published next.
    for bytes in [300_000, 550_000] {
        limit(Some(bytes));
        let refused =
            hub.ask(Request::post("/topics/a").body(Full::from("y".repeat(100_000))).unwrap()).await;
        assert_eq!(refused.status, 507, "{}", refused.text());
    }
    limit(None);
    hub.publish("a", "there is room").await;
    hub.kill().await;
    hub.start_again().await;
    let page = hub.get("/topics/a?since=-2").await.json();
    let data: Vec<_> =
        page["events"].as_array().unwrap().iter().map(|event| event["data"].as_str().unwrap()).collect();
    assert_eq!(data, [&format!("4{}", "x".repeat(100_000)), "there is room"]);
}
