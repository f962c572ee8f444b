use tidings_engine_servers::{Listener, RedisServer, Told};
use tidings_log::AppendError;
use tidings_protocol::Selection;

use crate::support::{ask, event, eventually, open, publish, read, refusal, texts};

/// A master, and a replica that has caught up with it.
async fn pair() -> Option<(RedisServer, RedisServer)> {
    let (master, replica) = (RedisServer::start()?, RedisServer::start()?);
    ask(&replica, &["REPLICAOF", "127.0.0.1", &master.port().to_string()]).await;
    let linked = async || format!("{:?}", ask(&replica, &["ROLE"]).await).contains("connected");
    while !linked().await {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Some((master, replica))
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
    let epoch = log.bounds().epoch;
    master.kill();
    eventually("it is away", || log.ready().is_err()).await;
    ask(&replica, &["REPLICAOF", "NO", "ONE"]).await;
    eventually("it is back", || log.ready().is_ok()).await;
    // The new master has no replica that could take it.
    let refused = log.append(tidings_log::Batch::of(event("a", "alone"))).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    assert_eq!(log.bounds().epoch, epoch);
    assert!(listener.told().iter().all(|told| !matches!(told, Told::Renewed(_))));
    let read = read(&*log, 0, &Selection::all()).await;
    assert_eq!(texts(&read)[..50], (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lacks_something_takes_over_and_readers_are_told() {
    let Some((mut master, replica)) = pair().await else { return };
    let log = open(&both(&master, &replica, "")).await;
    let listener = Listener::of(&*log);
    publish(&*log, "a", "kept").await;
    ask(&master, &["WAIT", "1", "0"]).await;
    // It is cut off from its master, and then promoted.
    ask(&replica, &["REPLICAOF", "127.0.0.1", "1"]).await;
    for data in ["lost 1", "lost 2"] {
        publish(&*log, "a", data).await;
    }
    let epoch = log.bounds().epoch;
    master.kill();
    ask(&replica, &["REPLICAOF", "NO", "ONE"]).await;
    assert_ne!(listener.hears_of_loss().await.epoch, epoch);
    eventually("it is back", || log.ready().is_ok()).await;
    publish(&*log, "a", "new").await;
    assert_eq!(texts(&read(&*log, 0, &Selection::all()).await), ["kept", "new"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_becomes_a_replica_is_left() {
    let Some((master, replica)) = pair().await else { return };
    let log = open(&both(&master, &replica, "")).await;
    publish(&*log, "a", "1").await;
    ask(&master, &["WAIT", "1", "0"]).await;
    let epoch = log.bounds().epoch;
    ask(&replica, &["REPLICAOF", "NO", "ONE"]).await;
    ask(&master, &["REPLICAOF", "127.0.0.1", &replica.port().to_string()]).await;
    // The first one may still meet the old master, and is refused there.
    let mut done = Err(AppendError::Full { reason: String::new() });
    while done.is_err() {
        done = log.append(tidings_log::Batch::of(event("a", "2"))).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(log.bounds().epoch, epoch);
    assert_eq!(texts(&read(&*log, 0, &Selection::all()).await), ["1", "2"]);
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
