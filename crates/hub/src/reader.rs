//! How far a reader is, and what that means for it: the rules that hold whatever carries its events.

use tidings_protocol::{Cursor, GapReason, Lineage, Sequence};

/// How far a reader is in the log. It is given what happened, and says what there is to tell; it reads and sends nothing.
///
/// - What a reader is sent moves its cursor, and so does what it passes over because that does not concern it.
/// - It is *live* when it has been given everything that whoever serves it has seen. Then it is given the next batch at
///   once; every other reader catches up from its own cursor.
/// - It is told an id no sooner than everything up to there was sent, or passed over.
///
/// It is packed, as a hub keeps one for every connection that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(Rust, packed)]
pub struct Reader {
    /// Everything up to and including this has been sent, or passed over. A live reader has also seen what whoever serves
    /// it has.
    cursor: Sequence,
    /// The last id that it was told. For a poll, the last cursor that it was given to go on with, while nothing up to
    /// there has ended its topic.
    told: Sequence,
    state: ReaderState,
}

/// What a reader is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderState {
    /// It has seen everything, and waits for more.
    Live,
    /// It has to catch up: its turn will come, or it has to take what is pending first.
    Lagging,
    /// It waits for a page from the log.
    Reading,
    /// It is done when what is pending has been sent.
    Ending,
    /// A poll that was answered, and may ask again.
    Idle,
}

/// What a new batch is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It gets the batch now.
    Now,
    /// It is beyond the beginning of the batch, so it is to catch up from where it is.
    Later,
    /// It comes to the batch by itself, or not at all.
    Never,
}

/// What it is to a reader that the log was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It waits for nothing.
    Unconcerned,
    /// It has seen nothing that is lost, and goes on.
    GoesOn,
    /// It has seen something that is lost, up to this cursor.
    Gap(GapReason, Cursor),
}

/// How a reader is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dismissal {
    /// Its end is under way already.
    UnderWay,
    /// It is closed without a word.
    Close,
    /// It is told: a stream when to come back, a poll what there is.
    Tell,
}

// === impl Reader ===

impl Reader {
    /// One that has seen everything up to and including a place, and knows it.
    #[must_use]
    pub fn new(place: Sequence) -> Self {
        Self { cursor: place, told: place, state: ReaderState::Lagging }
    }

    /// Everything up to and including this is seen.
    #[must_use]
    pub fn cursor(&self) -> Sequence {
        self.cursor
    }

    /// The last id that it was told.
    #[must_use]
    pub fn told(&self) -> Sequence {
        self.told
    }

    /// What it is about to do.
    #[must_use]
    pub fn state(&self) -> ReaderState {
        self.state
    }

    /// Whether it waits for something that is new.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == ReaderState::Live
    }

    /// It has all that there is, and waits for more.
    pub fn settle(&mut self) {
        self.state = ReaderState::Live;
    }

    /// It has to catch up.
    pub fn lag(&mut self) {
        self.state = ReaderState::Lagging;
    }

    /// It waits for a page from the log.
    pub fn read(&mut self) {
        self.state = ReaderState::Reading;
    }

    /// Nothing comes after what is pending.
    pub fn end(&mut self) {
        self.state = ReaderState::Ending;
    }

    /// A poll waits until it is asked again.
    pub fn rest(&mut self) {
        self.state = ReaderState::Idle;
    }

    /// There is a batch of what comes after `start`.
    pub fn batch(&mut self, start: Sequence) -> Turn {
        match self.state {
            // It came at a place that its batches are only coming to.
            ReaderState::Live if self.cursor > start => {
                self.lag();
                Turn::Later
            }
            ReaderState::Live => {
                self.cursor = start;
                Turn::Now
            }
            _ => Turn::Never,
        }
    }

    /// What comes after `start` cannot be given to all that are live. Says whether it is one of them, and now catches up.
    pub fn fall_behind(&mut self, start: Sequence) -> bool {
        let was_live = self.is_live();
        if was_live {
            self.cursor = self.cursor.max(start);
            self.lag();
        }
        was_live
    }

    /// Nothing up to `next` concerns it, or it is told of that otherwise.
    pub fn pass(&mut self, next: Sequence) {
        self.cursor = next;
    }

    /// It was sent everything up to `next`, of which `last` was the last event.
    pub fn take(&mut self, next: Sequence, last: Option<Sequence>) {
        self.cursor = next;
        self.told = last.unwrap_or(self.told);
    }

    /// It was sent a part of a batch, up to and including an event, and has to catch up.
    pub fn take_until(&mut self, sequence: Sequence) {
        if sequence != self.cursor {
            self.told = sequence;
        }
        self.cursor = sequence;
        self.lag();
    }

    /// A silent stream is given a sign of life. Gives the id that it is told with it, where that is a new one. Everything up
    /// to `position` was given to those that are live.
    pub fn heartbeat(&mut self, position: Sequence) -> Option<Sequence> {
        self.cursor = self.cursor.max(position);
        let moved = self.cursor != self.told;
        self.told = self.cursor;
        moved.then_some(self.told)
    }

    /// Something may be missing for a stream, which is told, and goes on after `resumed`.
    pub fn gap(&mut self, resumed: Sequence) {
        (self.cursor, self.told) = (resumed, resumed);
        self.lag();
    }

    /// A poll is answered, with a cursor to go on with. `may_wait` says whether there is something to wait for there.
    pub fn answer(&mut self, next: Sequence, may_wait: bool) {
        self.end();
        if may_wait {
            self.told = next;
        }
    }

    /// A poll is asked again. It is held only where it goes on from no further than it was told: beyond that may be what
    /// there is no more to wait for, behind the end of the topic, or of the log.
    pub fn ask(&mut self, cursor: Sequence) -> bool {
        let is_known = cursor <= self.told;
        if is_known {
            self.cursor = cursor;
            self.lag();
        }
        is_known
    }

    /// How far a poll is whose wait is over. Everything up to `position` was given to those that are live.
    #[must_use]
    pub fn waited(&self, position: Sequence) -> Sequence {
        if self.is_live() { self.cursor.max(position) } else { self.cursor }
    }

    /// The log is another one from now on. Everything up to `position` in the one `before` was given to those that are live.
    pub fn renew(&mut self, before: &Lineage, present: &Lineage, position: Sequence) -> Renewal {
        match self.state {
            ReaderState::Ending => return Renewal::Unconcerned,
            // The routes know what its next cursor means.
            ReaderState::Idle => {
                self.told = 0;
                return Renewal::Unconcerned;
            }
            ReaderState::Live | ReaderState::Lagging | ReaderState::Reading => {}
        }
        let since = before.id(self.waited(position));
        match present.place(since) {
            Ok(place) => {
                self.cursor = place;
                Renewal::GoesOn
            }
            Err(reason) => Renewal::Gap(reason, since),
        }
    }

    /// The hub shuts down, or the reader's token has ended.
    #[must_use]
    pub fn dismiss(&self) -> Dismissal {
        match self.state {
            ReaderState::Ending => Dismissal::UnderWay,
            ReaderState::Idle => Dismissal::Close,
            ReaderState::Live | ReaderState::Lagging | ReaderState::Reading => Dismissal::Tell,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tidings_protocol::Epoch;

    /// What may happen to a stream. Whoever serves it has seen everything up to its position.
    #[derive(Debug, Clone)]
    enum Happening {
        /// So many events are new, of which those by the mask concern the reader; it takes so many of them.
        Batch {
            events: u64,
            mask: u8,
            takes: u64,
        },
        /// It catches up, and takes so many.
        CatchUp {
            takes: u64,
        },
        Heartbeat,
        FallBehind {
            events: u64,
        },
        /// So many of the last events are lost.
        Renew {
            lost: u64,
        },
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            4 => (1_u64..6, any::<u8>(), 0_u64..7)
                .prop_map(|(events, mask, takes)| Happening::Batch { events, mask, takes }),
            4 => (0_u64..9).prop_map(|takes| Happening::CatchUp { takes }),
            2 => Just(Happening::Heartbeat),
            1 => (1_u64..6).prop_map(|events| Happening::FallBehind { events }),
            1 => (0_u64..4).prop_map(|lost| Happening::Renew { lost }),
        ]
    }

    /// A log of which is known what concerns the reader, and a stream that is told of it.
    struct Model {
        lineage: Lineage,
        epochs: u64,
        concerns: Vec<bool>,
        position: u64,
        reader: Reader,
        /// Up to where nothing was left out.
        complete: u64,
    }

    impl Model {
        fn next(&self, after: u64) -> Option<u64> {
            (after + 1..=self.concerns.len() as u64).find(|sequence| self.concerns[*sequence as usize - 1])
        }

        /// The reader is sent what comes after its cursor, and takes so many events of it.
        fn send(&mut self, until: u64, takes: u64) {
            let mut last = None;
            for _ in 0..takes {
                let cursor = last.unwrap_or(self.reader.cursor());
                let Some(next) = self.next(cursor).filter(|next| *next <= until) else { break };
                assert_eq!(Some(next), self.next(self.complete), "told twice, or left out");
                (self.complete, last) = (next, Some(next));
            }
            let cursor = last.unwrap_or(self.reader.cursor());
            if self.next(cursor).is_some_and(|next| next <= until) {
                self.reader.take_until(cursor);
            } else {
                self.reader.take(until, last);
                if until >= self.position { self.reader.settle() } else { self.reader.lag() }
            }
        }

        fn happen(&mut self, happening: &Happening) {
            let start = self.position;
            match *happening {
                Happening::Batch { events, mask, takes } => {
                    self.concerns.extend((0..events).map(|event| mask >> event & 1 == 1));
                    self.position = self.concerns.len() as u64;
                    let was_live = self.reader.is_live();
                    let turn = self.reader.batch(start);
                    assert_eq!(turn != Turn::Never, was_live);
                    if turn == Turn::Now {
                        self.send(self.position, takes);
                    }
                }
                Happening::CatchUp { takes } if self.reader.state() == ReaderState::Lagging => {
                    self.send(self.position, takes);
                }
                Happening::CatchUp { .. } => {}
                Happening::Heartbeat => {
                    if self.reader.is_live()
                        && let Some(id) = self.reader.heartbeat(self.position)
                    {
                        assert!(self.next(self.complete).is_none_or(|next| next > id), "an id too soon");
                    }
                }
                Happening::FallBehind { events } => {
                    self.concerns.extend((0..events).map(|event| event % 2 == 0));
                    self.position = self.concerns.len() as u64;
                    self.reader.fall_behind(start);
                    assert!(!self.reader.is_live());
                }
                Happening::Renew { lost } => {
                    let common = start.saturating_sub(lost);
                    self.epochs += 1;
                    let present = self.lineage.renewed(Epoch::from_random(self.epochs), common);
                    let before = std::mem::replace(&mut self.lineage, present);
                    self.concerns.truncate(usize::try_from(common).unwrap());
                    self.position = common;
                    let seen = self.reader.waited(start);
                    match self.reader.renew(&before, &self.lineage, start) {
                        Renewal::GoesOn => {
                            assert!(seen <= common && self.complete <= common);
                            self.reader.lag();
                        }
                        Renewal::Gap(..) => {
                            assert!(seen > common);
                            self.reader.gap(0);
                            self.complete = 0;
                        }
                        Renewal::Unconcerned => unreachable!("it waits"),
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_stream_is_told_everything_once_or_of_a_gap(happenings in prop::collection::vec(happening(), 1..60)) {
            let mut model = Model {
                lineage: Lineage::of(Epoch::from_random(0)),
                epochs: 0,
                concerns: Vec::new(),
                position: 0,
                reader: Reader::new(0),
                complete: 0,
            };
            for happening in &happenings {
                model.happen(happening);
            }
            while !model.reader.is_live() {
                model.happen(&Happening::CatchUp { takes: 2 });
            }
            prop_assert_eq!(model.next(model.complete), None, "left out");
        }
    }

    #[test]
    fn a_poll_is_held_again_only_from_where_it_was_told_to_go_on() {
        let mut poll = Reader::new(7);
        poll.answer(9, true);
        poll.rest();
        assert!(!poll.ask(10) && poll.ask(9) && poll.ask(3));
        assert_eq!((poll.cursor(), poll.state()), (3, ReaderState::Lagging));
        // Its topic has ended up to there, or it was told of a gap.
        poll.answer(12, false);
        assert!(!poll.ask(12));
    }

    #[test]
    fn whose_end_is_under_way_is_told_of_no_other() {
        let mut stream = Reader::new(0);
        assert_eq!(stream.dismiss(), Dismissal::Tell);
        stream.end();
        assert_eq!(stream.dismiss(), Dismissal::UnderWay);
        let (before, present) = (Lineage::of(Epoch::from_random(0)), Lineage::of(Epoch::from_random(1)));
        assert_eq!(stream.renew(&before, &present, 5), Renewal::Unconcerned);
        stream.rest();
        assert_eq!(stream.dismiss(), Dismissal::Close);
    }

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<Reader>(), 17);
    }
}
