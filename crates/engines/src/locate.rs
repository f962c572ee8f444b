//! Places that are not given by a number, found by reading.

use std::sync::Arc;

use tidings_log::{Bounds, Budget, Position, ReadError};
use tidings_protocol::{Selection, Sequence, Timestamp};
use tokio::task::yield_now;

use crate::EngineError;
use crate::engine_state::EngineState;
use crate::limits::{ENTRY_BYTES, FIRST_STEP, STEP, STEP_BYTES, STEP_GROWTH, STEPS_AT_ONCE};

pub(crate) async fn locate(
    shared: &EngineState,
    place: Position,
    selection: &Selection,
) -> Result<Sequence, ReadError> {
    let found = match place {
        Position::Earliest => Ok(earliest(shared).await),
        Position::Time(time) => first_at(shared, time).await,
        Position::Last(count) => last(shared, count, selection).await,
    };
    found.map_err(|error| shared.unreadable(&error))
}

/// What is read there says whether more was discarded than this hub has heard of, and is what a reader will read.
/// Where nothing can be read for now, what is known has to do.
async fn earliest(shared: &EngineState) -> Sequence {
    let Bounds { lineage, earliest, latest } = shared.bounds();
    let epoch = lineage.present();
    let floor = earliest.saturating_sub(1);
    if floor < latest
        && shared.present().is_ok()
        && let Ok(block) = shared.replay.block(epoch, floor).await
    {
        shared.trimmed(epoch, block.earliest);
    }
    shared.bounds().earliest.saturating_sub(1)
}

/// Times in a log do not go back, so the first entry at or after one is found by halving.
async fn first_at(shared: &EngineState, time: Timestamp) -> Result<Sequence, EngineError> {
    let bounds = shared.bounds();
    let (mut low, mut high) = (bounds.earliest.saturating_sub(1), bounds.latest);
    let mut found = high;
    while low < high {
        let middle = low + (high - low) / 2;
        match shared.replay.entry(bounds.epoch(), middle).await? {
            Some(entry) if entry.sequence <= bounds.latest && entry.time < time => low = entry.sequence,
            Some(entry) if entry.sequence <= bounds.latest => {
                found = entry.sequence - 1;
                high = middle;
            }
            Some(_) | None => high = middle,
        }
    }
    Ok(found)
}

/// Goes back from the last event of the topics, in steps that grow, until there are so many, or the budget is spent.
async fn last(shared: &EngineState, count: usize, selection: &Selection) -> Result<Sequence, EngineError> {
    let bounds = shared.bounds();
    let mut floor = bounds.earliest.saturating_sub(1);
    if !shared.may_concern(floor, selection) {
        return Ok(floor);
    }
    let mut step = shared.engine.first_step(count).clamp(STEP.0, FIRST_STEP);
    let (mut high, mut missing) = (bounds.latest.min(shared.latest_of(selection)), count.max(1));
    let (mut budget, mut steps) = (Budget::default(), 0);
    while high > floor {
        let low = shared.engine.back(high, step).clamp(floor, high - 1);
        let (mut found, mut after) = (Vec::new(), low);
        let (mut entries, mut bytes) = (0, 0);
        while after < high {
            // Others have their turn between two blocks, and searches leave readers to those who know where to read.
            let block = shared.replay.search(bounds.epoch(), after).await?;
            shared.trimmed(bounds.epoch(), block.earliest);
            floor = floor.max(shared.bounds().earliest.saturating_sub(1));
            let here = block.entries.iter().filter(|entry| entry.sequence > after && entry.sequence <= high);
            for entry in here {
                let size = entry.data.len() + entry.topic.as_str().len() + ENTRY_BYTES;
                budget.spend(size as u64);
                (entries, bytes) = (entries + 1, bytes + size);
                if selection.matches_counting(entry, &mut steps) {
                    found.push(Arc::clone(entry));
                }
                if steps >= STEPS_AT_ONCE {
                    budget.compare(std::mem::take(&mut steps));
                    yield_now().await;
                }
            }
            if block.next <= after {
                break;
            }
            after = block.next;
        }
        shared.retain_readable(&mut found);
        if let Some(place) = found.len().checked_sub(missing) {
            return Ok(found.get(place).map_or(floor, |entry| entry.sequence - 1));
        }
        if budget.is_spent() {
            return Ok(low.max(floor));
        }
        missing -= found.len();
        high = low;
        // Large entries are looked at few at a time, so that no step reads much more than the budget has.
        let fit = STEP_BYTES / (bytes / entries.max(1)).max(1);
        step = (step * STEP_GROWTH).min(fit).clamp(STEP.0, STEP.1);
    }
    Ok(floor)
}
