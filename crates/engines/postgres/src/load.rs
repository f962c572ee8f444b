//! What the log holds, for a hub that attaches to it.

use std::collections::HashMap;

use tidings_engine::EngineError;
use tidings_log::{Bounds, TopicInfo};
use tidings_protocol::{Epoch, Sequence, Timestamp, Topic};
use tokio_postgres::Row;

use crate::limits::TOPICS;
use crate::read::{self, number};
use crate::schema::Schema;
use crate::session::{Session, in_time};

const KNOWN: &str = "
    SELECT topic, latest, time, closed FROM {schema}.topics WHERE topic > $1 ORDER BY topic LIMIT $2";
/// Entries that the table of topics does not take into account yet.
const NEWER: &str = "
    SELECT DISTINCT ON (topic) topic, sequence, time, closing <> 0 FROM {schema}.entries
    WHERE sequence > $1 ORDER BY topic, sequence DESC";

const DELETIONS: &str = "
    SELECT d.topic, d.sequence FROM {schema}.deletions d, {schema}.log l WHERE d.sequence >= l.earliest";

/// What an attachment knows of topics, and of their deletions.
pub(crate) type Topics = (Vec<TopicInfo>, Vec<(Topic, Sequence)>);

/// What the log holds, and its topics, unless it goes on in the epoch that is known. Both are of one moment.
pub(crate) async fn load(
    session: &Session,
    schema: &Schema,
    known: Option<Epoch>,
) -> Result<(Bounds, Topics), EngineError> {
    let what = "read the topics of the log";
    in_time(what, session.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")).await?;
    let state = in_time(what, session.query_one(&schema.fill(read::STATE), &[])).await?;
    let bounds = Bounds {
        lineage: read::lineage(&state)?,
        earliest: number(state.get(1)),
        latest: number(state.get(2)),
    };
    let (mut topics, mut deletions) = (HashMap::new(), Vec::new());
    if known != Some(bounds.epoch()) {
        let (sql, mut after) = (schema.fill(KNOWN), String::new());
        loop {
            let rows = in_time(what, session.query(&sql, &[&after, &TOPICS])).await?;
            let Some(last) = rows.last() else { break };
            after = last.get(0);
            topics.extend(rows.iter().filter_map(info));
        }
        let noted: i64 = state.get(5);
        let newer = in_time(what, session.query(&schema.fill(NEWER), &[&noted])).await?;
        topics.extend(newer.iter().filter_map(info));
        let deleted = in_time(what, session.query(&schema.fill(DELETIONS), &[])).await?;
        let deletion = |row: &Row| Some((Topic::new(row.get(0)).ok()?, number(row.get(1))));
        deletions.extend(deleted.iter().filter_map(deletion));
        topics.retain(|_, info| info.latest >= bounds.earliest);
    }
    in_time(what, session.batch_execute("COMMIT")).await?;
    Ok((bounds, (topics.into_values().collect(), deletions)))
}

fn info(row: &Row) -> Option<(Topic, TopicInfo)> {
    let topic = Topic::new(row.get(0)).ok()?;
    let time = Timestamp::from_millis(number(row.get(2)));
    let info = TopicInfo { topic: topic.clone(), latest: number(row.get(1)), time, closed: row.get(3) };
    Some((topic, info))
}
