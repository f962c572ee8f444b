use std::path::Path;
use std::process::Command;

use tidings_engine_servers::{Listener, NatsServer, Notice};
use tidings_protocol::Selection;

use crate::support::{agree, eventually, open, publish, read, told_who_lost_something, url};

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// A server comes back with an older state of its files, as from a copy, or after a power cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_a_server_has_lost_give_the_log_a_new_epoch_at_every_hub() {
    let Some(mut server) = NatsServer::start() else { return };
    let (one, other) = (open(&url(&server)).await, open(&url(&server)).await);
    let kept = publish(&*one, "a", "kept").await;
    let (store, copied) = (server.folder().join("store"), server.folder().join("copy"));
    server.kill();
    eventually("both are away", || one.ready().is_err() && other.ready().is_err()).await;
    copy(&store, &copied);
    server.start_again();
    eventually("both are back", || one.ready().is_ok() && other.ready().is_ok()).await;
    let listeners = [Listener::of(&*one), Listener::of(&*other)];
    let epoch = one.bounds().epoch();
    let mut lost = Vec::new();
    for data in ["lost 1", "lost 2", "lost 3"] {
        lost.push(publish(&*one, "a", data).await);
    }
    listeners[1].hears(|told| *told == Notice::Entry("lost 3".into())).await;
    server.kill();
    std::fs::remove_dir_all(&store).unwrap();
    copy(&copied, &store);
    server.start_again();
    for (log, listener) in [&one, &other].into_iter().zip(&listeners) {
        let bounds = listener.hears_of_loss().await;
        assert_ne!(bounds.epoch(), epoch);
        eventually("it is back", || log.ready().is_ok()).await;
    }
    // Both may have found it at the same time; then the later epoch stays.
    eventually("they agree", || one.bounds().epoch() == other.bounds().epoch() && other.ready().is_ok())
        .await;
    publish(&*other, "a", "new").await;
    listeners[0].hears(|told| *told == Notice::Entry("new".into())).await;
    let found = read(&*one, 0, &Selection::all()).await;
    assert_eq!(found.iter().map(|entry| &entry.data[..]).collect::<Vec<_>>(), [&b"kept"[..], b"new"]);
    assert_eq!(found, read(&*other, 0, &Selection::all()).await);
    let started = open(&url(&server)).await;
    agree(&*started, &*one).await;
    for log in [&one, &other, &started] {
        told_who_lost_something(&**log, epoch, kept, &lost);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_loses_nothing_changes_nothing() {
    let Some(mut server) = NatsServer::start() else { return };
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
