use std::sync::Arc;

use tidings_engine::{Engine, EngineError, Seen};
use tidings_engine_servers::{Listener, Notice, RedisServer};
use tidings_log::{AppendError, Batch, Idempotency, Scope};
use tidings_protocol::{Cursor, GapReason, Selection};
use tidings_redis::Redis;

use crate::support::{
    ask, config, event, eventually, open, publish, read, refusal, texts, told_who_lost_something, topic, url,
};

/// A master, and a replica that has caught up with it.
async fn pair() -> Option<(RedisServer, RedisServer)> {
    let (master, replica) = (RedisServer::start()?, RedisServer::start()?);
    ask(&replica, &["REPLICAOF", "127.0.0.1", &master.port().to_string()]).await;
    let linked = async || format!("{:?}", ask(&replica, &["ROLE"]).await).contains("connected");
    until("the replica has caught up", linked).await;
    Some((master, replica))
}

/// Waits until a replica has the whole log. `WAIT` would only wait for what its own connection has written.
async fn caught_up(master: &RedisServer, replica: &RedisServer) {
    let length = ask(master, &["XLEN", "{log}:log"]).await;
    assert_ne!(length, redis::Value::Int(0));
    until("the replica has it", async || ask(replica, &["XLEN", "{log}:log"]).await == length).await;
}

/// Asks a server again and again until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "it never came that {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn both(master: &RedisServer, replica: &RedisServer, options: &str) -> String {
    format!("redis://127.0.0.1:{},127.0.0.1:{}/log{options}", master.port(), replica.port())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_has_everything_takes_over_and_nobody_notices() {
    let Some((mut master, replica)) = pair().await else { return };
    let log = open(&both(&master, &replica, "?wait-replicas=1")).await;
    let listener = Listener::of(&*log);
    for number in 0..50 {
        publish(&*log, "a", &number.to_string()).await;
    }
    let epoch = log.bounds().epoch();
    master.kill();
    eventually("it is away", || log.ready().is_err()).await;
    ask(&replica, &["REPLICAOF", "NO", "ONE"]).await;
    // The new master has no replica that could take anything. It can be read.
    let old = read(&*log, 0, &Selection::all()).await;
    assert_eq!(texts(&old)[..50], (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
    let alone = Batch::of(event("a", "alone"));
    until("the reason is said", async || {
        let refused = log.append(alone.clone()).await.unwrap_err();
        assert!(matches!(refused, AppendError::Unavailable(_)), "{refused:?}");
        refused.to_string().contains("0 of 1 replicas")
    })
    .await;
    assert!(log.ready().is_err());
    // As soon as it has one, it is ready, though nobody has published.
    let third = RedisServer::start().unwrap();
    ask(&third, &["REPLICAOF", "127.0.0.1", &replica.port().to_string()]).await;
    eventually("it is ready", || log.ready().is_ok()).await;
    publish(&*log, "a", "after").await;
    assert_eq!(log.bounds().epoch(), epoch);
    assert!(listener.told().iter().all(|told| !matches!(told, Notice::Renewed(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_refuses_for_want_of_replicas_says_so_and_is_ready_when_it_has_them() {
    let Some((master, mut replica)) = pair().await else { return };
    let log = open(&url(&master)).await;
    let listener = Listener::of(&*log);
    publish(&*log, "a", "before").await;
    ask(&master, &["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    // Redis counts them every so often, and only now that it is asked to.
    until("it has one", async || log.append(Batch::of(event("a", "with one"))).await.is_ok()).await;
    replica.kill();
    let refused = async || log.append(Batch::of(event("a", "without"))).await.err();
    until("it is refused", async || refused().await.is_some()).await;
    let reason = refused().await.unwrap().to_string();
    assert!(reason.contains("NOREPLICAS"), "{reason}");
    assert!(log.ready().is_err());
    // Whoever starts now waits for the same.
    let engine = Redis::new(url(&master).parse().unwrap(), config()).unwrap();
    let error = engine.attach(None).await.err();
    assert!(error.as_ref().is_none_or(|error| error.to_string().contains("NOREPLICAS")), "{error:?}");
    if error.is_none() {
        assert!(engine.check().await.unwrap_err().to_string().contains("NOREPLICAS"));
    }
    replica.start_again();
    ask(&replica, &["REPLICAOF", "127.0.0.1", &master.port().to_string()]).await;
    eventually("it is ready", || log.ready().is_ok()).await;
    publish(&*log, "a", "after").await;
    let events = read(&*log, 0, &Selection::all()).await;
    assert_eq!(texts(&events), ["before", "with one", "after"]);
    assert!(listener.told().iter().all(|told| !matches!(told, Notice::Renewed(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lacks_something_takes_over_and_readers_are_told() {
    let Some((mut master, replica)) = pair().await else { return };
    let log = open(&both(&master, &replica, "")).await;
    let listener = Listener::of(&*log);
    let kept = publish(&*log, "a", "kept").await;
    caught_up(&master, &replica).await;
    // It is cut off from its master, and then promoted.
    ask(&replica, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let mut lost = Vec::new();
    for data in ["lost 1", "lost 2"] {
        lost.push(publish(&*log, "a", data).await);
    }
    let epoch = log.bounds().epoch();
    master.kill();
    ask(&replica, &["REPLICAOF", "NO", "ONE"]).await;
    assert_ne!(listener.hears_of_loss().await.epoch(), epoch);
    eventually("it is back", || log.ready().is_ok()).await;
    publish(&*log, "a", "new").await;
    assert_eq!(texts(&read(&*log, 0, &Selection::all()).await), ["kept", "new"]);
    told_who_lost_something(&*log, epoch, kept, &lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_becomes_a_replica_is_left() {
    let Some((master, replica)) = pair().await else { return };
    let log = open(&both(&master, &replica, "")).await;
    publish(&*log, "a", "1").await;
    caught_up(&master, &replica).await;
    let epoch = log.bounds().epoch();
    ask(&replica, &["REPLICAOF", "NO", "ONE"]).await;
    ask(&master, &["REPLICAOF", "127.0.0.1", &replica.port().to_string()]).await;
    // The first one may still meet the old master, and is refused there.
    let mut done = Err(AppendError::Full { reason: String::new() });
    while done.is_err() {
        done = log.append(Batch::of(event("a", "2"))).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(log.bounds().epoch(), epoch);
    assert_eq!(texts(&read(&*log, 0, &Selection::all()).await), ["1", "2"]);
}

/// A server that becomes a replica ends the connections that it holds, and no other: a reader that was not held at that
/// moment would go on with what the new master has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_master_has_after_it_was_a_replica_is_not_taken_for_what_it_had() {
    let Some((master, replica)) = pair().await else { return };
    publish(&*open(&url(&master)).await, "a", "kept").await;
    caught_up(&master, &replica).await;
    let engine = Redis::new(both(&master, &replica, "").parse().unwrap(), config()).unwrap();
    let mut attached = engine.attach(None).await.unwrap();
    ask(&replica, &["REPLICAOF", "NO", "ONE"]).await;
    engine.write(["lost 1", "lost 2"].map(|data| Batch::of(event("a", data))).into()).await.unwrap();
    let fed = attached.feed.next().await.unwrap();
    let mut seen = Seen::at(Cursor::new(attached.bounds.epoch(), fed.next));
    seen.entry = fed.entries.last().map(Arc::clone);
    seen.marks.note(&read(&*open(&url(&replica)).await, 0, &Selection::all()).await);
    seen.marks.note(&fed.entries);
    assert_eq!(fed.next, 3);
    engine.tidy().await.unwrap();

    // The other has the same numbers for other events, and then the first takes on what the other has.
    let other = open(&url(&replica)).await;
    for data in ["other 1", "other 2", "new"] {
        publish(&*other, "a", data).await;
    }
    assert_eq!(other.bounds().epoch(), attached.bounds.epoch());
    ask(&master, &["REPLICAOF", "127.0.0.1", &replica.port().to_string()]).await;
    until("it has what the other has", async || {
        format!("{:?}", ask(&master, &["ROLE"]).await).contains("connected")
            && ask(&master, &["XLEN", "{log}:log"]).await == redis::Value::Int(4)
    })
    .await;
    assert!(matches!(attached.feed.next().await, Err(EngineError::Away { .. })));
    let limits = tidings_log::ReadLimits { entries: 9, bytes: 99 };
    assert!(matches!(engine.read(0, limits).await, Err(EngineError::Away { .. })));
    assert_eq!(engine.tidy().await, Err(EngineError::Renewed));

    // Also where it is the master again by the time that it is looked at.
    ask(&master, &["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(engine.tidy().await, Err(EngineError::Renewed));
    let again = engine.attach(Some(&seen)).await.unwrap();
    assert_ne!(again.bounds.epoch(), attached.bounds.epoch());
    // Where two histories had one epoch, only what both had before is known to be the same.
    let resume = |sequence| again.bounds.resume(Cursor::new(attached.bounds.epoch(), sequence));
    assert_eq!(resume(1), Ok(1));
    for sequence in 2..=4 {
        assert_eq!(resume(sequence), Err(GapReason::Ahead));
    }
}

/// A batch that replicas did not take in time is refused, and its repetition is as well, until they have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_waits_for_replicas_as_the_first_batch_did() {
    let Some((master, replica)) = pair().await else { return };
    let log = open(&both(&master, &replica, "?wait-replicas=1")).await;
    let key = Idempotency { scope: Scope::Topic(topic("a")), key: "k".into() };
    let keyed = || Batch { idempotency: Some(key.clone()), ..Batch::of(event("a", "x")) };
    let first = log.append(Batch::of(event("a", "before"))).await.unwrap();
    replica.freeze(true);
    for _ in 0..2 {
        let refused = log.append(keyed()).await;
        assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
        assert!(log.ready().is_err());
    }
    replica.freeze(false);
    let mut appended = log.append(keyed()).await;
    while appended.is_err() {
        appended = log.append(keyed()).await;
    }
    let appended = appended.unwrap();
    assert_eq!((appended.first, appended.duplicate), (first.first + 1, true));
}

/// Each server has settings of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_may_discard_the_log_does_not_take_over() {
    let Some((mut master, replica)) = pair().await else { return };
    let log = open(&both(&master, &replica, "")).await;
    publish(&*log, "a", "1").await;
    caught_up(&master, &replica).await;
    ask(&replica, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    master.kill();
    eventually("it is away", || log.ready().is_err()).await;
    ask(&replica, &["REPLICAOF", "NO", "ONE"]).await;
    let reason = refusal(&url(&replica)).await;
    assert!(matches!(reason, EngineError::Refused { .. }), "{reason:?}");
    let engine = Redis::new(url(&replica).parse().unwrap(), config()).unwrap();
    let seen = Seen::at(Cursor::new(log.bounds().epoch(), 1));
    assert_eq!(engine.attach(Some(&seen)).await.err(), Some(reason));
    ask(&replica, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    eventually("it is back", || log.ready().is_ok()).await;
    publish(&*log, "a", "2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_are_only_replicas_a_master_is_waited_for() {
    let Some((master, replica)) = pair().await else { return };
    let alone = format!("redis://127.0.0.1:{}/log", replica.port());
    assert!(refusal(&alone).await.to_string().contains("is a replica, and no master was found"));
    drop(master);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_knows_the_master() {
    let Some((master, _replica)) = pair().await else { return };
    let folder = master.folder().join("sentinel.conf");
    std::fs::write(&folder, format!("sentinel monitor main 127.0.0.1 {} 1\n", master.port())).unwrap();
    let Some(sentinel) = RedisServer::start_sentinel(&folder) else { return };
    let log = open(&format!("redis://127.0.0.1:{}/log?sentinel=main", sentinel.port())).await;
    publish(&*log, "a", "x").await;
    let unknown = format!("redis://127.0.0.1:{}/log?sentinel=other", sentinel.port());
    assert!(refusal(&unknown).await.to_string().contains("knows no master of that name"));
}
