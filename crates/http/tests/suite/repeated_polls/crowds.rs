//! Many pollers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{Poller, Way, numbers};
use crate::support::{Request, Running, texts, within};

#[tokio::test]
async fn each_connection_is_asked_for_what_is_its_own() {
    let hub = Running::start().await;
    let mut pollers = Vec::new();
    for (target, header) in [
        ("/topics/a?wait=60", false),
        ("/topics/a?wait=60&limit=2", false),
        ("/topics/a?wait=60&limit=2", true),
        ("/topics/a?wait=60&event=t", false),
        ("/topics/a?wait=60&event=s&event=t", true),
        ("/topics/*?wait=60", false),
        ("/events?topic=a&topic=b&wait=60", true),
        ("/topics/b?wait=60", false),
    ] {
        let way = if header { Way::Header } else { Way::Since };
        pollers.push((Poller::new(&hub, way, target).await, Vec::new()));
    }
    let mut short = Poller::new(&hub, Way::Since, "/topics/a?wait=200ms&event=none").await;
    let mut expected = vec![Vec::new(); pollers.len()];
    for round in 0..5 {
        for (poller, _) in &mut pollers {
            poller.ask().await;
        }
        hub.readers("long-poll", pollers.len() as u64).await;
        let asked = Instant::now();
        assert!(short.poll().await.events.is_empty());
        assert!(asked.elapsed() >= Duration::from_millis(200));
        let mut last = Vec::new();
        for (topic, kind) in [("a", "s"), ("a", "t"), ("b", "t"), ("a", "u")] {
            let text = format!("{round}{topic}{kind}");
            hub.publish_typed(topic, kind, &text).await;
            for (number, matches) in [
                topic == "a",
                topic == "a",
                topic == "a",
                topic == "a" && kind == "t",
                topic == "a" && kind != "u",
                true,
                true,
                topic == "b",
            ]
            .into_iter()
            .enumerate()
            {
                if matches {
                    expected[number].push(text.clone());
                }
            }
            last.push(text);
        }
        for (number, (poller, seen)) in pollers.iter_mut().enumerate() {
            loop {
                let page = poller.page().await;
                assert!(page.events.len() <= 2 || !poller.target.contains("limit"));
                seen.extend(texts(&page));
                if seen.len() >= expected[number].len() {
                    break;
                }
                poller.ask().await;
            }
            assert_eq!(*seen, expected[number], "{}", poller.target);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_poll_many_times_while_others_publish() {
    const CONNECTIONS: usize = 300;
    const POLLS: usize = 50;
    let hub = Running::start().await;
    let mut readers = Vec::new();
    for number in 0..CONNECTIONS {
        let way = [Way::Since, Way::Query, Way::Header][number % 3];
        let target = ["/topics/a?wait=30", "/topics/*?wait=30&limit=2", "/events?topic=a&topic=b&wait=30"];
        let mut poller = Poller::new(&hub, way, target[number % target.len()]).await;
        readers.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..POLLS {
                let page = poller.poll().await;
                assert!(page.gap.is_none() && !page.events.is_empty());
                seen.extend(texts(&page));
            }
            seen
        }));
    }
    hub.waiting("a", CONNECTIONS).await;
    let done = Arc::new(AtomicBool::new(false));
    let publishing = {
        let (mut wire, done) = (hub.connect().await, Arc::clone(&done));
        tokio::spawn(async move {
            let mut number = 0_usize;
            while !done.load(Ordering::Relaxed) {
                wire.ask(&Request::post("/topics/a", number.to_string())).await.id();
                number += 1;
            }
        })
    };
    for reader in readers {
        let seen = tokio::time::timeout(Duration::from_secs(60), reader).await.unwrap().unwrap();
        assert!(seen.len() >= POLLS);
        assert_eq!(seen, numbers(0..seen.len()));
    }
    done.store(true, Ordering::Relaxed);
    within(publishing).await.unwrap();
    hub.readers("long-poll", 0).await;
    hub.waiting("a", 0).await;
}
