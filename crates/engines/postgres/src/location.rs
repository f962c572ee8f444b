//! Where a log is: which cluster, database and table, and on which of the cluster's timelines.
//!
//! A copy that was restored is in another place, at least in another table, and a replica that took over goes on in a new
//! timeline. Either may lack commits that were acknowledged, and nobody can tell. So the log gets a new epoch there.

use std::sync::Arc;

use tidings_engine::{EngineError, Seen, after_loss, write_lineage};
use tidings_protocol::{Epoch, Event, Sequence};

use crate::options::Options;
use crate::read::{self, Table};
use crate::session::{Session, in_time};
use crate::write::begin;
use tokio_postgres::error::SqlState;

/// Where a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// The cluster and the database, and for what is known of a log also its table.
    pub(crate) place: String,
    pub(crate) timeline: String,
}

/// What an attachment needs to know of the log.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) epoch: Epoch,
    pub(crate) secret: [u8; 16],
    pub(crate) table: Table,
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], EngineError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| EngineError::away(format!("failed to get random bytes from the system: {error}")))?;
    Ok(bytes)
}

pub(crate) fn draw_epoch() -> Result<Epoch, EngineError> {
    Ok(Epoch::from_random(u64::from_le_bytes(random()?)))
}

/// What those say that are only like Postgres, or let nobody ask.
const UNKNOWN: [SqlState; 5] = [
    SqlState::UNDEFINED_FUNCTION,
    SqlState::FEATURE_NOT_SUPPORTED,
    SqlState::INSUFFICIENT_PRIVILEGE,
    SqlState::SYNTAX_ERROR,
    SqlState::UNDEFINED_TABLE,
];

// === impl Location ===

impl Location {
    pub(crate) async fn of(session: &Session) -> Result<Self, EngineError> {
        let what = "ask which database this is";
        let sql = "SELECT oid::text FROM pg_database WHERE datname = current_database()";
        let database: String = in_time(what, session.query_one(sql, &[])).await?.get(0);
        let system = "SELECT system_identifier::text FROM pg_control_system()";
        let timeline = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)";
        let mut known = Vec::new();
        for sql in [system, timeline] {
            let asked = async {
                match session.query_one(sql, &[]).await {
                    Ok(row) => Ok(row.get::<_, String>(0)),
                    Err(error) if error.code().is_some_and(|code| UNKNOWN.contains(code)) => {
                        tracing::warn!(%error, "a failover may go unnoticed: Postgres does not say which server it is");
                        Ok("-".to_owned())
                    }
                    Err(error) => Err(error),
                }
            };
            known.push(in_time(what, asked).await?);
        }
        let timeline = known.pop().unwrap_or_default();
        let system = known.pop().unwrap_or_default();
        Ok(Self { place: format!("{system}/{database}"), timeline })
    }

    /// The place of a log's table.
    pub(crate) fn of_table(&self, table: Table) -> Self {
        Self { place: format!("{}/{}", self.place, table.0), timeline: self.timeline.clone() }
    }
}

/// Finds out which log this is, and gives it a new epoch where it may have lost events.
pub(crate) async fn identify(
    session: &Session,
    options: &Options,
    place: &Location,
    seen: Option<&Seen>,
) -> Result<Identity, EngineError> {
    let what = "find out which log this is";
    in_time("wait for the log's lock", begin(session, &options.schema)).await?;
    let identity = identify_locked(session, options, place, seen).await;
    let end = if identity.is_ok() { "COMMIT" } else { "ROLLBACK" };
    in_time(what, session.batch_execute(end)).await?;
    identity
}

async fn identify_locked(
    session: &Session,
    options: &Options,
    now: &Location,
    seen: Option<&Seen>,
) -> Result<Identity, EngineError> {
    let schema = &options.schema;
    let what = "find out which log this is";
    let sql = schema.fill("SELECT epoch, secret, place, timeline, tableoid FROM {schema}.log");
    let row = in_time(what, session.query_one(&sql, &[])).await?;
    let damaged = || EngineError::refused("the table `log` does not hold what a hub put there");
    let mut epoch: Epoch = row.get::<_, &str>(0).parse().map_err(|_| damaged())?;
    let secret = row.get::<_, &[u8]>(1).try_into().map_err(|_| damaged())?;
    let known = Location { place: row.get(2), timeline: row.get(3) };
    let table = Table::of(&row, 4)?;
    let now = &now.of_table(table);
    let elsewhere = known.place != now.place;
    let promoted = known.timeline != now.timeline;
    let lossy = elsewhere || (promoted && !options.lossless_failover);
    let reason = if elsewhere {
        Some("the database or its tables were restored from a copy")
    } else if lossy {
        Some("another server took over, or the server was restored to an earlier time")
    } else if let Some(seen) = seen.filter(|seen| seen.cursor.epoch == epoch)
        && !holds(session, options, seen).await?
    {
        Some("events that this hub has seen are not there any more")
    } else {
        None
    };
    if let Some(reason) = reason {
        let state = in_time(what, session.query_one(&schema.fill(read::STATE), &[])).await?;
        let (before, earliest, latest) =
            (read::lineage(&state)?, read::number(state.get(1)), read::number(state.get(2)));
        let common = match seen {
            // Whoever is connected to it looks here first, so nothing was written to a copy before its epoch is drawn: all
            // that it has is as it was.
            _ if lossy => Some(latest),
            Some(seen) => seen.common(earliest, |number| Box::pin(find(session, options, number))).await?,
            None => None,
        };
        epoch = draw_epoch()?;
        let epochs = write_lineage(&after_loss(&before, epoch, common));
        let sql = schema.fill("INSERT INTO {schema}.epochs (present, epochs) VALUES ($1, $2)");
        in_time(what, session.execute(&sql, &[&epoch.as_str(), &epochs])).await?;
        let sql = schema.fill("DELETE FROM {schema}.epochs WHERE present <> $1");
        in_time(what, session.execute(&sql, &[&epoch.as_str()])).await?;
        tracing::warn!(%epoch, "the log gets a new epoch: {reason}");
    }
    if reason.is_some() || known != *now {
        let sql = schema.fill("UPDATE {schema}.log SET epoch = $1, place = $2, timeline = $3");
        in_time(what, session.execute(&sql, &[&epoch.as_str(), &now.place, &now.timeline])).await?;
    }
    Ok(Identity { epoch, secret, table })
}

/// Whether the log still has what was followed.
async fn holds(session: &Session, options: &Options, seen: &Seen) -> Result<bool, EngineError> {
    let what = "look for what was followed";
    let sql = options.schema.fill(read::STATE);
    let row = in_time(what, session.query_one(&sql, &[])).await?;
    let (earliest, latest) = (read::number(row.get(1)), read::number(row.get(2)));
    if latest < seen.cursor.sequence {
        return Ok(false);
    }
    let Some(entry) = seen.entry.as_ref().filter(|entry| entry.sequence >= earliest) else { return Ok(true) };
    Ok(find(session, options, entry.sequence).await?.as_ref() == Some(entry))
}

/// The entry with a number, where the log has it.
async fn find(
    session: &Session,
    options: &Options,
    number: Sequence,
) -> Result<Option<Arc<Event>>, EngineError> {
    let sql = options.schema.fill(
        "SELECT sequence, time, topic, event, format, closing, data, ttl FROM {schema}.entries WHERE sequence = $1",
    );
    let row =
        in_time("look for what was followed", session.query_opt(&sql, &[&read::bigint(number)])).await?;
    Ok(row.and_then(|row| read::event(&row, 0).ok()).map(Arc::new))
}
