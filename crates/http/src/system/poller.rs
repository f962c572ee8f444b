//! What a thread that owns sockets asks of the system: to be told what happens to them, and to be woken by others.
//!
//! There are two of it with one interface. Linux has its own, [`linux`], over epoll and eventfd. Every other system has
//! [`portable`], over mio, which knows kqueue; Linux takes it too where the feature `portable` is on, so that it can be
//! tested there.
//!
//! Sockets are watched on both sides and edge-triggered: the system speaks up when there is more to read, when a full
//! socket takes bytes again, and when the peer sends nothing more; nothing has to be changed in between. What is told of
//! a socket may come in one event or in several, in any order, and may be told again.

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod linux;
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
mod portable;

#[cfg(all(target_os = "linux", not(feature = "portable")))]
pub(crate) use linux::{Events, Poller, Waker};
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
pub(crate) use portable::{Events, Poller, Waker};

/// What happened to a socket, or to a waker, which is readable when it was rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// What it was registered with.
    pub(crate) key: u64,
    /// There is something to read, or the end of it.
    pub(crate) readable: bool,
    /// It takes bytes.
    pub(crate) writable: bool,
    /// The peer sends nothing more.
    pub(crate) read_closed: bool,
    /// The connection is over, on both sides.
    pub(crate) failed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    /// No test waits for as long, but where it fails.
    const PATIENCE: Duration = Duration::from_secs(20);

    struct Fixture {
        poller: Poller,
        events: Events,
    }

    impl Fixture {
        fn new() -> Self {
            Self { poller: Poller::new().unwrap(), events: Events::with_capacity(16) }
        }

        /// Waits until something of a key is as wanted. Nothing may be told of others.
        fn await_event(&mut self, key: u64, wanted: impl Fn(&Event) -> bool) {
            let begun = Instant::now();
            while begun.elapsed() < PATIENCE {
                self.poller.wait(&mut self.events, Some(PATIENCE)).unwrap();
                let events: Vec<_> = self.events.drain().collect();
                assert!(events.iter().all(|event| event.key == key), "{events:?}");
                if events.iter().any(&wanted) {
                    return;
                }
            }
            panic!("nothing of the kind was told of {key}");
        }

        /// What is told at once.
        fn told(&mut self) -> Vec<Event> {
            self.poller.wait(&mut self.events, Some(Duration::ZERO)).unwrap();
            self.events.drain().collect()
        }
    }

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        near.set_nonblocking(true).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn every_side_of_a_socket_is_told() {
        let mut fixture = Fixture::new();
        // The largest key is one like any other.
        let key = u64::MAX - 1;
        let (mut near, mut far) = pair();
        fixture.poller.register(near.as_fd(), key).unwrap();
        fixture.await_event(key, |event| event.writable && !event.failed);
        far.write_all(b"a").unwrap();
        fixture.await_event(key, |event| event.readable && !event.read_closed);
        // It is told of what comes, and not of what is there.
        assert_eq!(fixture.told(), []);
        far.write_all(b"b").unwrap();
        fixture.await_event(key, |event| event.readable);
        assert_eq!(near.read(&mut [0; 8]).unwrap(), 2);
        far.shutdown(Shutdown::Write).unwrap();
        fixture.await_event(key, |event| event.read_closed && !event.failed);
    }

    #[test]
    fn a_full_socket_is_told_of_when_it_takes_bytes_again() {
        let mut fixture = Fixture::new();
        let (mut near, mut far) = pair();
        fixture.poller.register(near.as_fd(), 7).unwrap();
        let mut sent = 0;
        while let Ok(count) = near.write(&[0; 64 << 10]) {
            sent += count;
        }
        fixture.told();
        assert_eq!(fixture.told(), []);
        let mut taken = 0;
        let mut buffer = vec![0; 64 << 10];
        while taken < sent {
            taken += far.read(&mut buffer).unwrap();
        }
        fixture.await_event(7, |event| event.writable);
        assert!(near.write(b"more").is_ok());
    }

    #[test]
    fn a_connection_that_was_reset_has_failed() {
        let mut fixture = Fixture::new();
        let (mut near, far) = pair();
        fixture.poller.register(near.as_fd(), 7).unwrap();
        near.write_all(b"never read").unwrap();
        // What was sent has to be there, for the close to reset the connection.
        assert_eq!(far.peek(&mut [0; 1]).unwrap(), 1);
        drop(far);
        fixture.await_event(7, |event| event.failed);
    }

    #[test]
    fn nothing_is_told_of_what_is_closed_or_not_registered_any_more() {
        let mut fixture = Fixture::new();
        let ((near, mut far), (closed, mut other)) = (pair(), pair());
        fixture.poller.register(near.as_fd(), 1).unwrap();
        fixture.poller.register(closed.as_fd(), 2).unwrap();
        fixture.poller.deregister(near.as_fd()).unwrap();
        drop(closed);
        far.write_all(b"a").unwrap();
        drop(other.write_all(b"a"));
        assert_eq!(near.peek(&mut [0; 1]).unwrap_or(1), 1);
        assert_eq!(fixture.told(), []);
        // It may come back.
        fixture.poller.register(near.as_fd(), 3).unwrap();
        fixture.await_event(3, |event| event.readable);
    }

    #[test]
    fn anyone_may_ring_and_is_heard_each_time() {
        let waker = Arc::new(Waker::new().unwrap());
        let mut fixture = Fixture::new();
        fixture.poller.register_waker(&waker, 9).unwrap();
        assert_eq!(fixture.told(), []);
        for _ in 0..3 {
            let ringer = Arc::clone(&waker);
            std::thread::spawn(move || ringer.wake()).join().unwrap();
            fixture.await_event(9, |event| event.readable);
            waker.silence();
            assert_eq!(fixture.told(), []);
        }
        // Whoever comes after is told of what was rung before.
        waker.wake();
        let mut next = Fixture::new();
        next.poller.register_waker(&waker, 4).unwrap();
        next.await_event(4, |event| event.readable);
    }

    #[test]
    fn a_wait_ends_in_time() {
        let mut fixture = Fixture::new();
        let begun = Instant::now();
        let wait = Duration::from_millis(30);
        fixture.poller.wait(&mut fixture.events, Some(wait)).unwrap();
        assert_eq!(fixture.events.drain().count(), 0);
        // Not much sooner, as whoever waits would turn round and round.
        assert!(begun.elapsed() >= wait - Duration::from_millis(1), "{:?}", begun.elapsed());
    }
}
