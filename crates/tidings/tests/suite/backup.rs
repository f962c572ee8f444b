//! docs/backup.md, followed word by word, and what its readers notice: the commands are those of the page, run against a
//! real hub. What belongs to the machine has its place in a folder of the test.

use std::process::Command;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::Value;

use crate::support::Hub;

const PAGE: &str = include_str!("../../../../docs/backup.md");
const LOG: &str = "/var/lib/tidings";
const PROGRAM: &str = "/usr/bin/tidings";
const UNITS: &str = "tidings.socket tidings.service";

/// The commands of a section, line by line.
fn commands(section: &str) -> Vec<&'static str> {
    let (_, rest) = PAGE.split_once(&format!("\n## {section}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let (_, rest) = section.split_once("```sh\n").unwrap();
    rest.split("```").next().unwrap().lines().collect()
}

/// Follows a section of the page.
async fn follow(hub: &mut Hub, section: &str) {
    for line in commands(section) {
        if line == format!("systemctl stop {UNITS}") {
            let (status, _) = hub.terminate().await;
            assert!(status.success());
        } else if line == format!("systemctl start {UNITS}") {
            hub.start_again().await;
        } else {
            let room = hub.room().display();
            let script =
                line.replace(LOG, &format!("{room}/data")).replace(PROGRAM, &format!("{room}/installed"));
            let ran = Command::new("bash").args(["-euc", &script]).current_dir(hub.room()).output().unwrap();
            assert!(ran.status.success(), "{line}\n{}", String::from_utf8_lossy(&ran.stderr));
        }
    }
}

async fn publish(hub: &Hub, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in numbers {
        ids.push(hub.publish("a", number.to_string()).await.id);
    }
    ids
}

/// What a reader with a cursor is given: why there is a gap, and the data of the events.
async fn given(hub: &Hub, cursor: &str) -> (Option<String>, Vec<u64>) {
    let page: Value =
        serde_json::from_str(&hub.get(&format!("/topics/a?since={cursor}")).await.text()).unwrap();
    let gap = page.get("gap").map(|gap| gap["reason"].as_str().unwrap().to_owned());
    let data = page["events"].as_array().unwrap().iter();
    (gap, data.map(|event| event["data"].as_str().unwrap().parse().unwrap()).collect())
}

#[tokio::test]
async fn the_page_on_backups_is_true_word_by_word() {
    let mut hub = Hub::on_disk(&[]).await;
    let kept = publish(&hub, 1..=10).await;
    follow(&mut hub, "Back up").await;
    assert_eq!(given(&hub, &kept[3]).await, (None, (5..=10).collect()));
    let lost = publish(&hub, 11..=20).await;

    follow(&mut hub, "Restore").await;
    publish(&hub, 11..=25).await;
    for (number, id) in (1..).zip(&kept) {
        assert_eq!(given(&hub, id).await, (None, (number + 1..=25).collect()), "{id}");
    }
    for id in &lost {
        let (gap, events) = given(&hub, id).await;
        assert!(matches!(gap.as_deref(), Some("ahead" | "unknown")), "{id}: {gap:?}");
        assert_eq!(events, (1..=25).collect::<Vec<_>>());
    }

    std::fs::copy(env!("CARGO_BIN_EXE_tidings"), hub.room().join("tidings")).unwrap();
    follow(&mut hub, "Upgrade").await;
    let installed = Command::new(hub.room().join("installed")).arg("--version").output().unwrap();
    assert!(installed.status.success());
    assert_eq!(given(&hub, &kept[9]).await, (None, (11..=25).collect()));
}

/// The case that lost events in silence: a copy of the folder as it was at event 10, while the hub ran.
#[tokio::test]
async fn a_restored_copy_tells_a_reader_who_was_ahead_and_no_other() {
    let mut hub = Hub::on_disk(&[]).await;
    let at_10 = publish(&hub, 1..=10).await.pop().unwrap();
    let copy = "cp -a data copy && rm copy/LOCK";
    let ran = |script: &str| {
        let status = Command::new("bash").args(["-euc", script]).current_dir(hub.room()).status().unwrap();
        assert!(status.success(), "{script}");
    };
    ran(copy);
    let at_20 = publish(&hub, 11..=20).await.pop().unwrap();
    hub.kill().await;
    let room = hub.room().to_owned();
    let status =
        Command::new("bash").args(["-euc", "rm -r data && mv copy data"]).current_dir(&room).status();
    assert!(status.unwrap().success());
    hub.start_again().await;
    publish(&hub, 11..=25).await;
    assert_eq!(given(&hub, &at_20).await, (Some("ahead".into()), (1..=25).collect()));
    assert_eq!(given(&hub, &at_10).await, (None, (11..=25).collect()));
}

/// What was acknowledged was on the disk, so nobody has lost anything, and nobody is told that he might have.
#[tokio::test]
async fn a_hub_that_is_killed_tells_nobody_of_a_gap() {
    for durability in ["sync", "os"] {
        let mut hub = Hub::on_disk(&["--durability", durability]).await;
        let mut ids = Vec::new();
        for round in 0..5 {
            let from = ids.len() as u64 + 1;
            let keyed = format!("{from}");
            let first = once(&hub, &keyed).await;
            ids.push(first.1.clone());
            ids.extend(publish(&hub, from + 1..=from + 4).await);
            hub.kill().await;
            hub.start_again().await;
            for (number, id) in (1..).zip(&ids) {
                let rest: Vec<u64> = (number + 1..=ids.len() as u64).collect();
                assert_eq!(given(&hub, id).await, (None, rest), "round {round}, {durability}: {id}");
            }
            assert_eq!(
                once(&hub, &keyed).await,
                (200, first.1),
                "a repetition is answered as the first time"
            );
        }
    }
}

/// Publishes its own key once: the status, and the id.
async fn once(hub: &Hub, key: &str) -> (u16, String) {
    let request = Request::builder().method(Method::POST).uri("/topics/a").header("idempotency-key", key);
    let answer = hub.ask(request.body(Full::new(Bytes::from(key.to_owned()))).unwrap()).await;
    let body: Value = serde_json::from_str(&answer.text()).unwrap();
    (answer.status.as_u16(), body["id"].as_str().unwrap().to_owned())
}
