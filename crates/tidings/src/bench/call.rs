//! A request whose answer is waited for: what is to be asked before a run.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags};

use super::connection::{Connection, ConnectionError, Ending, Listener, Turn};
use super::head::Head;
use super::link::Buffers;
use super::server::Server;

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("failed to ask the server: {0}")]
    Connection(#[from] ConnectionError),
    #[error("the server answered with status {0}")]
    Status(u16),
    #[error("the server ended the connection before its answer was whole")]
    Short,
    #[error("the server did not answer within {} s", TIMEOUT.as_secs())]
    Late,
}

/// The body of an answer, as far as it has come.
#[derive(Debug, Default)]
struct Answer {
    body: Vec<u8>,
    whole: bool,
}

const TIMEOUT: Duration = Duration::from_secs(10);
const TICK_NANOS: i64 = 20_000_000;
const BUFFER_BYTES: usize = 16 << 10;
/// The number of its connection, beyond those of all others.
const CONNECTION: usize = 1 << 20;

/// Sends a request, and returns the body of the answer.
pub(crate) fn call(server: &Server, request: &[u8]) -> Result<Vec<u8>, CallError> {
    let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(ConnectionError::from)?;
    let mut connection = Connection::open(server, 1, CONNECTION, epoll.as_fd(), 0)?;
    connection.ask(0, request);
    let (mut buffers, mut answer) = (Buffers::new(BUFFER_BYTES), Answer::default());
    let end = Instant::now() + TIMEOUT;
    while Instant::now() < end {
        let mut events = Vec::with_capacity(1);
        let patience = Timespec { tv_sec: 0, tv_nsec: TICK_NANOS };
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(ConnectionError::from(error).into()),
        }
        for event in &events {
            let turn = connection.turn(event.flags, &mut buffers, &mut answer)?;
            if answer.whole {
                return Ok(answer.body);
            }
            match turn {
                Turn::Ended(Ending::Early) => return Err(ConnectionError::Early.into()),
                Turn::Ended(_) => return Err(CallError::Short),
                Turn::Same | Turn::Up => {}
            }
            connection.flush(epoll.as_fd(), &mut buffers)?;
        }
    }
    Err(CallError::Late)
}

// === impl Answer ===

impl Listener for Answer {
    type Error = CallError;

    fn head(&mut self, _: usize, head: &Head<'_>) -> Result<(), CallError> {
        if (200..300).contains(&head.status) { Ok(()) } else { Err(CallError::Status(head.status)) }
    }

    fn piece(&mut self, _: usize, bytes: &[u8]) -> Result<(), CallError> {
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, _: usize, _: bool) -> Result<(), CallError> {
        self.whole = true;
        Ok(())
    }
}
