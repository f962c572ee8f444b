//! Making the tables, and bringing those of an older hub up to date.

use tidings_engine::EngineError;
use tokio_postgres::types::ToSql;

use crate::location::{self, Location};
use crate::options::Options;
use crate::partitions;
use crate::schema::Schema;
use crate::session::{Session, in_time};

/// What leads from each version to the next.
const MIGRATIONS: [&str; 2] = [include_str!("migrations/1.sql"), include_str!("migrations/2.sql")];
/// Where the epochs are that a log had before. It is not in the tables of older hubs, which do without; and what was written
/// for another present epoch than the log's says nothing.
const EPOCHS: &str = "CREATE TABLE IF NOT EXISTS {schema}.epochs (present text COLLATE \"C\" PRIMARY KEY, epochs text NOT NULL)";
/// What hubs leave for each other. It is not in the tables of older hubs either.
const NOTES: &str =
    "CREATE TABLE IF NOT EXISTS {schema}.notes (name text COLLATE \"C\" PRIMARY KEY, text text NOT NULL)";
/// The tables that came later without a version of their own, as older hubs do without them.
const LATER: [&str; 2] = ["epochs", "notes"];
/// The oldest Postgres that has what is used here, as its own number.
const OLDEST: i32 = 130_000;

/// Makes sure that the tables are there, and are those that this hub knows.
pub(crate) async fn run(session: &Session, options: &Options, place: &Location) -> Result<(), EngineError> {
    let schema = &options.schema;
    check(session, options).await?;
    if version(session, schema).await? == Some(MIGRATIONS.len()) && has_later(session, schema).await? {
        return Ok(());
    }
    let begin = schema.fill(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({class}, {key})",
    );
    in_time("wait for the log's lock", session.batch_execute(&begin)).await?;
    let migrated = migrate(session, schema, place).await;
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    in_time("make the log's tables", session.batch_execute(end)).await?;
    migrated
}

async fn migrate(session: &Session, schema: &Schema, place: &Location) -> Result<(), EngineError> {
    let current = version(session, schema).await?.unwrap_or(0);
    if current > MIGRATIONS.len() {
        return Err(EngineError::refused(format!(
            "the log in the schema `{}` was made by a newer hub: it has version {current}, and this hub knows {}",
            schema.name(),
            MIGRATIONS.len()
        )));
    }
    let what = format!("make the log's tables in the schema `{}`", schema.name());
    if current == 0 {
        let there = in_time(
            &what,
            session.query_one("SELECT to_regnamespace($1::text) IS NOT NULL", &[&schema.quoted()]),
        )
        .await?;
        if !there.get::<_, bool>(0) {
            let create = schema.fill("CREATE SCHEMA {schema}");
            in_time(&what, session.batch_execute(&create)).await?;
        }
    }
    for sql in MIGRATIONS.iter().skip(current) {
        in_time(&what, session.batch_execute(&schema.fill(sql))).await?;
    }
    in_time(&what, session.batch_execute(&schema.fill(EPOCHS))).await?;
    in_time(&what, session.batch_execute(&schema.fill(NOTES))).await?;
    if current == 0 {
        begin_log(session, schema, place, &what).await?;
        tracing::info!(schema = schema.name(), "made the log's tables");
    }
    let set = schema.fill(&format!("UPDATE {{schema}}.log SET version = {}", MIGRATIONS.len()));
    in_time(&what, session.batch_execute(&set)).await
}

async fn begin_log(
    session: &Session,
    schema: &Schema,
    place: &Location,
    what: &str,
) -> Result<(), EngineError> {
    let (secret, epoch) = (location::random::<16>()?, location::draw_epoch()?);
    let sql = schema.fill(
        "INSERT INTO {schema}.log (version, epoch, secret, place, timeline)
            VALUES (0, $1, $2, $3 || '/' || '{schema}.log'::regclass::oid, $4)",
    );
    let insert: [&(dyn ToSql + Sync); 4] = [&epoch.as_str(), &&secret[..], &place.place, &place.timeline];
    in_time(what, session.execute(&sql, &insert)).await?;
    in_time(what, session.batch_execute(&partitions::create(schema, 0))).await
}

async fn has_later(session: &Session, schema: &Schema) -> Result<bool, EngineError> {
    let sql = "SELECT count(to_regclass(name)) FROM unnest($1::text[]) AS name";
    let tables = LATER.map(|table| format!("{}.{table}", schema.quoted()));
    let there = in_time("look for the log's tables", session.query_one(sql, &[&&tables[..]])).await?;
    Ok(there.get::<_, i64>(0) == LATER.len() as i64)
}

/// The version of the tables; none where there are none.
async fn version(session: &Session, schema: &Schema) -> Result<Option<usize>, EngineError> {
    let what = "look for the log's tables";
    let table = format!("{}.log", schema.quoted());
    let there =
        in_time(what, session.query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&table])).await?;
    if !there.get::<_, bool>(0) {
        return Ok(None);
    }
    let sql = schema.fill("SELECT version FROM {schema}.log");
    let row = in_time(what, session.query_opt(&sql, &[])).await?;
    let version = row.and_then(|row| row.try_get::<_, i32>(0).ok());
    let version = version.and_then(|version| usize::try_from(version).ok());
    version.map(Some).ok_or_else(|| {
        EngineError::refused(format!(
            "the table `log` in the schema `{}` is not one of a hub; name another schema in the address",
            schema.name()
        ))
    })
}

/// Looks whether the server and its database will do.
async fn check(session: &Session, options: &Options) -> Result<(), EngineError> {
    let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), \
               current_setting('fsync')";
    let row = in_time("ask for the server's version", session.query_one(sql, &[])).await?;
    let (version, encoding, fsync): (i32, String, String) = (row.get(0), row.get(1), row.get(2));
    if version < OLDEST {
        return Err(EngineError::refused("Postgres 13 or newer is needed"));
    }
    if encoding != "UTF8" {
        return Err(EngineError::refused(format!(
            "the database has the encoding {encoding}, and UTF8 is needed"
        )));
    }
    if fsync == "off" || options.commit == "off" {
        tracing::warn!(
            "Postgres acknowledges what is not on the disk: events can be lost when its machine fails"
        );
    }
    Ok(())
}
