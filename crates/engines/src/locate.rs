//! Places that are not given by a number, found by reading.

use tidings_log::{Bounds, Place, ReadError};
use tidings_protocol::{Selection, Sequence, Timestamp};

use crate::EngineError;
use crate::limits::STEP;
use crate::shared::Shared;

pub(crate) async fn locate(
    shared: &Shared,
    place: Place,
    selection: &Selection,
) -> Result<Sequence, ReadError> {
    let found = match place {
        Place::Earliest => Ok(earliest(shared).await),
        Place::Time(time) => first_at(shared, time).await,
        Place::Last(count) => last(shared, count, selection).await,
    };
    found.map_err(|error| shared.unreadable(&error))
}

/// What is read there says whether more was discarded than this hub has heard of, and is what a reader will read.
/// Where nothing can be read for now, what is known has to do.
async fn earliest(shared: &Shared) -> Sequence {
    let Bounds { epoch, earliest, latest } = shared.bounds();
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
async fn first_at(shared: &Shared, time: Timestamp) -> Result<Sequence, EngineError> {
    let bounds = shared.bounds();
    let (mut low, mut high) = (bounds.earliest.saturating_sub(1), bounds.latest);
    let mut found = high;
    while low < high {
        let middle = low + (high - low) / 2;
        match shared.replay.entry(bounds.epoch, middle).await? {
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

/// Goes back from the last event of the topics, in steps that grow, until there are so many.
async fn last(shared: &Shared, count: usize, selection: &Selection) -> Result<Sequence, EngineError> {
    let bounds = shared.bounds();
    let mut floor = bounds.earliest.saturating_sub(1);
    if !shared.may_concern(floor, selection) {
        return Ok(floor);
    }
    let mut step = shared.engine.first_step(count).clamp(STEP.0, STEP.1);
    let (mut high, mut missing) = (bounds.latest.min(shared.latest_of(selection)), count.max(1));
    while high > floor {
        let low = shared.engine.back(high, step).clamp(floor, high - 1);
        let mut found = Vec::new();
        let mut after = low;
        while after < high {
            let block = shared.replay.block(bounds.epoch, after).await?;
            shared.trimmed(bounds.epoch, block.earliest);
            floor = floor.max(shared.bounds().earliest.saturating_sub(1));
            let entries = block.entries.iter();
            let entries = entries.filter(|entry| entry.sequence > after && entry.sequence <= high);
            found.extend(entries.filter(|entry| selection.matches(entry)).map(|entry| entry.sequence));
            if block.next <= after {
                break;
            }
            after = block.next;
        }
        if let Some(place) = found.len().checked_sub(missing) {
            return Ok(found.get(place).map_or(floor, |sequence| sequence - 1));
        }
        missing -= found.len();
        high = low;
        step = (step * 2).min(STEP.1);
    }
    Ok(floor)
}
