/// The streams of a connection that wait until its socket takes more, by their numbers, in the order in which they go on.
///
/// One that has just been given something comes after all others: else the first of them would take all the room there
/// is, again and again, for as long as it has more to send.
#[derive(Debug, Default)]
pub(crate) struct RoomQueue {
    streams: Vec<u32>,
    /// How many of them, at the front, were given nothing when they came.
    hungry: usize,
}

// === impl RoomQueue ===

impl RoomQueue {
    pub(crate) fn add(&mut self, stream: u32, was_served: bool) {
        if self.streams.contains(&stream) {
            return;
        }
        if was_served {
            self.streams.push(stream);
        } else {
            self.streams.insert(self.hungry, stream);
            self.hungry += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Forgets one that is gone.
    pub(crate) fn remove(&mut self, stream: u32) {
        if let Some(place) = self.streams.iter().position(|own| *own == stream) {
            self.streams.remove(place);
            self.hungry -= usize::from(place < self.hungry);
        }
    }

    pub(crate) fn take(&mut self) -> Vec<u32> {
        self.hungry = 0;
        std::mem::take(&mut self.streams)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_take_turns() {
        let mut queue = RoomQueue::default();
        [1, 2, 3].into_iter().for_each(|stream| queue.add(stream, false));
        // Each time there is room for one of them, which has more to send.
        let mut served = Vec::new();
        for _ in 0..6 {
            for (place, stream) in queue.take().into_iter().enumerate() {
                queue.add(stream, place == 0);
                queue.add(stream, false);
                served.extend((place == 0).then_some(stream));
            }
        }
        assert_eq!(served, [1, 2, 3, 1, 2, 3]);
        assert_eq!(queue.take(), [1, 2, 3]);
        assert!(queue.is_empty() && queue.take().is_empty());
        [1, 2, 3].into_iter().for_each(|stream| queue.add(stream, stream == 3));
        queue.remove(1);
        queue.remove(4);
        queue.add(5, false);
        assert_eq!(queue.take(), [2, 5, 3]);
    }
}
