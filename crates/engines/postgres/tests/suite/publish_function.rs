//! `tidings_publish` in one transaction: what it takes, what it refuses, and who may call it.

use tidings_engine_servers::PostgresServer;
use tidings_log::Batch;
use tidings_protocol::{Format, Topic};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::support::{Reader, batch, client, hub, text, topic, url};

/// What the function makes of a topic and an event type: the code of its refusal, or none.
async fn refusal(application: &Client, topic: &str, event: Option<&str>) -> Option<SqlState> {
    let call = "SELECT tidings.tidings_publish($1, ''::text, $2)";
    let called = application.execute(call, &[&topic, &event]).await;
    called.err().map(|error| error.code().unwrap().clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_takes_what_a_hub_takes() {
    let Some(server) = PostgresServer::start() else { return };
    let hub = hub(&url(&server)).await;
    let application = client(&url(&server)).await;
    let mut reader = Reader::of(&hub).await;
    let calls = "
        SELECT tidings.tidings_publish('a', 'text');
        SELECT tidings.tidings_publish('größe/α', '{\"a\":  1}'::json, 'shipped');
        SELECT tidings.tidings_publish('a', '{\"a\":  1}'::jsonb);
        SELECT tidings.tidings_publish(topic => 'a', data => '\\x00ff'::bytea, event => 'raw');
        SELECT tidings.tidings_publish('a', 'last')";
    application.batch_execute(calls).await.unwrap();
    let events = reader.until("last").await;
    let found: Vec<_> = events
        .iter()
        .map(|event| {
            let event_type = event.event_type.as_ref().map(tidings_protocol::EventType::as_str);
            (event.topic.as_str(), event_type, event.format, &event.data[..])
        })
        .collect();
    assert_eq!(
        found,
        [
            ("a", None, Format::Text, &b"text"[..]),
            ("größe/α", Some("shipped"), Format::Json, b"{\"a\":  1}"),
            ("a", None, Format::Json, b"{\"a\": 1}"),
            ("a", Some("raw"), Format::Binary, b"\x00\xff"),
            ("a", None, Format::Text, b"last"),
        ]
    );

    // The rules for topics are those of the hub.
    let long = "x".repeat(512);
    let longer = "ü".repeat(257);
    for text in [
        "a",
        "a//b",
        "größe/α",
        "a*b/c**",
        ".",
        "%2e",
        " ",
        "a\\b",
        "***",
        "a/***/b",
        "*a",
        "a-*",
        &long,
        &longer,
        "",
        "/",
        "/a",
        "a/",
        "*",
        "**",
        "a/*",
        "*/a",
        "a/**/b",
        "a\nb",
        "a\u{1}",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{9f}",
        "a\u{a0}b",
        "\u{2028}",
    ] {
        let refused = refusal(&application, text, None).await;
        assert_eq!(refused.is_none(), Topic::new(text).is_ok(), "{text:?}: {refused:?}");
        assert!(refused.is_none_or(|code| code == SqlState::INVALID_PARAMETER_VALUE), "{text:?}");
    }
    let long = "t".repeat(128);
    for (event, right) in [
        (&*long, true),
        ("tidings", true),
        ("", false),
        ("tidings.x", false),
        ("a\tb", false),
        (&longer, false),
    ] {
        assert_eq!(refusal(&application, "a", Some(event)).await.is_none(), right, "{event:?}");
    }
    let large = "SELECT tidings.tidings_publish('a', repeat('x', $1))";
    application.execute(large, &[&(1 << 20)]).await.unwrap();
    let error = application.execute(large, &[&((1 << 20) + 1)]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::PROGRAM_LIMIT_EXCEEDED));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_has_ended_takes_nothing_and_nothing_is_lost_silently() {
    let Some(server) = PostgresServer::start() else { return };
    let hub = hub(&url(&server)).await;
    let application = client(&url(&server)).await;
    let mut reader = Reader::of(&hub).await;
    // It was published before the topic ended, and is committed after that.
    application.batch_execute("BEGIN; SELECT tidings.tidings_publish('a', 'late')").await.unwrap();
    application.batch_execute("SELECT tidings.tidings_publish('b', 'with it')").await.unwrap();
    hub.publish(Batch { close: Some(topic("a").into()), ..batch("a", "end") }).await.unwrap();
    application.batch_execute("COMMIT").await.unwrap();
    let events = reader.until("with it").await;
    assert_eq!(events.iter().map(text).collect::<Vec<_>>(), ["end", "with it"]);
    let kept = "SELECT topic, convert_from(data, 'UTF8') FROM tidings.refused";
    let kept = application.query_one(kept, &[]).await.unwrap();
    assert_eq!((kept.get(0), kept.get(1)), ("a", "late"));
    // From now on the application itself is told.
    let error = application.execute("SELECT tidings.tidings_publish('a', 'x')", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_may_call_it_and_nothing_else() {
    let Some(server) = PostgresServer::start() else { return };
    let hub = hub(&url(&server)).await;
    let admin = client(&url(&server)).await;
    admin.batch_execute("CREATE ROLE application LOGIN").await.unwrap();
    let application = client(&url(&server).replace("postgres@", "application@")).await;
    let call = "SELECT tidings.tidings_publish('a', 'called')";
    let denied = Some(&SqlState::INSUFFICIENT_PRIVILEGE);
    assert_eq!(application.execute(call, &[]).await.unwrap_err().code(), denied);
    admin.batch_execute("GRANT USAGE ON SCHEMA tidings TO application").await.unwrap();
    assert_eq!(application.execute(call, &[]).await.unwrap_err().code(), denied);
    let grant = "GRANT EXECUTE ON FUNCTION tidings.tidings_publish(text, text, text) TO application";
    admin.batch_execute(grant).await.unwrap();
    let mut reader = Reader::of(&hub).await;
    // Nothing of the application's own takes the place of what the function means.
    let traps =
        "CREATE TEMP TABLE outbox (topic text); CREATE FUNCTION pg_temp.octet_length(text) RETURNS int
        LANGUAGE sql AS 'SELECT 0'; SET search_path = pg_temp, pg_catalog";
    application.batch_execute(traps).await.unwrap();
    application.batch_execute(call).await.unwrap();
    reader.until("called").await;
    for forbidden in [
        "SELECT * FROM tidings.entries",
        "SELECT * FROM tidings.outbox",
        "SELECT secret FROM tidings.log",
        "INSERT INTO tidings.outbox (format, topic, data) VALUES (0, '/', '')",
        "DELETE FROM tidings.entries",
        "SELECT tidings.tidings_renew()",
        "SELECT tidings.add_to_outbox('/', '', NULL, 0::smallint)",
        "SELECT tidings.tidings_publish('a', '1'::json)",
    ] {
        let error = application.execute(forbidden, &[]).await.unwrap_err();
        assert_eq!(error.code(), denied, "{forbidden}");
    }
}
