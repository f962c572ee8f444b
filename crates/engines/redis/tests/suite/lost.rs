use tidings_engine_servers::{Listener, Notice, RedisServer};
use tidings_protocol::Selection;

use crate::support::{ask, eventually, open, publish, read, texts, told_who_lost_something, url};

/// A server that keeps nothing, or that has lost what it had written last, as after a power cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_a_server_has_lost_give_the_log_a_new_epoch_at_every_hub() {
    let Some(mut server) = RedisServer::start_with(&["--appendonly", "no"]) else { return };
    let (one, other) = (open(&url(&server)).await, open(&url(&server)).await);
    let listeners = [Listener::of(&*one), Listener::of(&*other)];
    let kept = publish(&*one, "a", "kept").await;
    ask(&server, &["SAVE"]).await;
    let mut lost = Vec::new();
    for data in ["lost 1", "lost 2", "lost 3"] {
        lost.push(publish(&*one, "a", data).await);
    }
    listeners[1].hears(|told| *told == Notice::Entry("lost 3".into())).await;
    let epoch = one.bounds().epoch();
    server.kill();
    server.start_again();
    for (log, listener) in [&one, &other].into_iter().zip(&listeners) {
        assert_ne!(listener.hears_of_loss().await.epoch(), epoch);
        eventually("it is back", || log.ready().is_ok()).await;
    }
    eventually("they agree", || one.bounds().epoch() == other.bounds().epoch()).await;
    publish(&*other, "a", "new").await;
    listeners[0].hears(|told| *told == Notice::Entry("new".into())).await;
    let started = open(&url(&server)).await;
    for log in [&one, &other, &started] {
        told_who_lost_something(&**log, epoch, kept, &lost);
        assert_eq!(texts(&read(&**log, 0, &Selection::all()).await), ["kept", "new"]);
        assert_eq!(log.bounds(), one.bounds());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_loses_nothing_changes_nothing() {
    let Some(mut server) = RedisServer::start() else { return };
    let log = open(&url(&server)).await;
    let listener = Listener::of(&*log);
    let epoch = log.bounds().epoch();
    for round in 0..3 {
        publish(&*log, "a", &round.to_string()).await;
        server.kill();
        eventually("it is away", || log.ready().is_err()).await;
        server.start_again();
        eventually("it is back", || log.ready().is_ok()).await;
    }
    assert_eq!(log.bounds().epoch(), epoch);
    assert_eq!(listener.told(), ["0", "1", "2"].map(|data| Notice::Entry(data.into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_deleted_under_its_hubs_is_a_new_one() {
    let Some(server) = RedisServer::start() else { return };
    for keys in [&["{log}:log"][..], &["{log}:log", "{log}:meta", "{log}:topics"]] {
        let log = open(&url(&server)).await;
        let listener = Listener::of(&*log);
        publish(&*log, "a", "gone").await;
        let epoch = log.bounds().epoch();
        let words: Vec<_> = ["DEL"].iter().chain(keys).copied().collect();
        ask(&server, &words).await;
        assert_ne!(listener.hears_of_loss().await.epoch(), epoch);
        eventually("it is back", || log.ready().is_ok()).await;
        publish(&*log, "a", "new").await;
        assert_eq!(texts(&read(&*log, log.bounds().earliest - 1, &Selection::all()).await), ["new"]);
    }
}
