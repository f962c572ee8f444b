use tidings_engine::{Engine, EngineError};
use tidings_engine_servers::RedisServer;
use tidings_log::{AppendError, Batch};
use tidings_protocol::Selection;

use crate::support::{ask, config, event, eventually, open, publish, read, refusal, texts, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_others_are_left_alone() {
    let Some(server) = RedisServer::start() else { return };
    ask(&server, &["SET", "{log}:log", "theirs"]).await;
    let EngineError::Refused { reason } = refusal(&url(&server)).await else { panic!() };
    assert!(reason.contains("keys of somebody else"), "{reason}");
    assert_eq!(ask(&server, &["GET", "{log}:log"]).await, redis::Value::BulkString(b"theirs".to_vec()));
}

/// Somebody adds to the stream by hand: hubs say what is wrong, and what they say mends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_wrote_is_said_plainly_and_can_be_mended() {
    let Some(server) = RedisServer::start() else { return };
    let log = open(&url(&server)).await;
    publish(&*log, "a", "1").await;
    let engine = tidings_redis::Redis::new(url(&server).parse().unwrap(), config()).unwrap();
    let mut feed = engine.attach(None).await.unwrap().feed;
    ask(&server, &["XADD", "{log}:log", "*", "theirs", "x"]).await;
    let error = feed.next().await.unwrap_err().to_string();
    assert!(error.contains("no hub wrote the entry"), "{error}");
    eventually("it is away", || log.ready().is_err()).await;

    // As it says.
    let latest = ask(&server, &["HGET", "{log}:meta", "latest"]).await;
    let redis::Value::BulkString(latest) = latest else { panic!("{latest:?}") };
    let latest = String::from_utf8(latest).unwrap();
    let commands: Vec<_> = error.split('`').filter(|part| part.starts_with('X')).collect();
    let [remove, lower] = commands[..] else { panic!("{error}") };
    ask(&server, &remove.split(' ').collect::<Vec<_>>()).await;
    let lower = lower.replace('N', &latest);
    let newer = error.split('`').find(|part| part.starts_with("ENTRIESADDED")).unwrap();
    let newer = format!("{lower} {}", newer.replace(" N ", &format!(" {latest} ")));
    let words = if is_new(&server).await { &newer } else { &lower };
    ask(&server, &words.split(' ').collect::<Vec<_>>()).await;
    eventually("it is back", || log.ready().is_ok()).await;
    while log.append(Batch::of(event("a", "2"))).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(texts(&read(&*log, 0, &Selection::all()).await), ["1", "2"]);
}

/// Whether it is Redis 7 or newer.
async fn is_new(server: &RedisServer) -> bool {
    let info = format!("{:?}", ask(server, &["INFO", "server"]).await);
    let version = info.split("redis_version:").nth(1).unwrap().split('.').next().unwrap();
    version.parse::<u32>().unwrap() >= 7
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_may_discard_the_log_is_refused() {
    let Some(server) = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]) else { return };
    let EngineError::Refused { reason } = refusal(&url(&server)).await else { panic!() };
    assert!(reason.contains("set it to noeviction"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_memory_says_that_it_is_full_and_nothing_is_half_done() {
    let Some(server) = RedisServer::start() else { return };
    let log = open(&url(&server)).await;
    publish(&*log, "a", "before").await;
    ask(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let events = vec![event("a", "x"), event("b", "y")];
    let full = log.append(Batch { events, close: None, idempotency: None }).await;
    assert!(matches!(full, Err(AppendError::Full { .. })), "{full:?}");
    ask(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    publish(&*log, "a", "after").await;
    assert_eq!(texts(&read(&*log, 0, &Selection::all()).await), ["before", "after"]);
}

/// A script cache that is emptied is filled again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_are_brought_again_where_they_are_forgotten() {
    let Some(server) = RedisServer::start() else { return };
    let log = open(&url(&server)).await;
    publish(&*log, "a", "1").await;
    ask(&server, &["SCRIPT", "FLUSH"]).await;
    publish(&*log, "a", "2").await;
    assert_eq!(log.bounds().latest, 2);
}

/// However large the entries, a reader gets them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_entries_are_read_few_at_a_time() {
    let Some(server) = RedisServer::start() else { return };
    let log = open(&url(&server)).await;
    let large = "x".repeat(3 << 20);
    for number in 0..20 {
        publish(&*log, "a", if number % 5 == 4 { &large } else { "small" }).await;
    }
    let other = open(&url(&server)).await;
    let sizes: Vec<_> =
        read(&*other, 0, &Selection::all()).await.iter().map(|entry| entry.data.len()).collect();
    let expected: Vec<_> = (0..20).map(|number| if number % 5 == 4 { 3 << 20 } else { 5 }).collect();
    assert_eq!(sizes, expected);
}
