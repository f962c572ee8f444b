//! Subscribers that share a connection: one over HTTP/1.1, as many as is asked for over HTTP/2.

use std::os::fd::AsFd as _;

use rustix::event::epoll::EventFlags;

use super::connection::{Connection, ConnectionError, Ending, Turn};
use super::crowd::Desk;
use super::plan::Mode;
use super::subscriber::{Audience, Stage, Subscriber, SubscriberError};

#[derive(Debug)]
pub(crate) struct Party {
    key: usize,
    pub(crate) members: Vec<Subscriber>,
    connection: Option<Connection>,
    up: bool,
}

// === impl Party ===

impl Party {
    pub(crate) fn new(key: usize, members: Vec<Subscriber>) -> Self {
        Self { key, members, connection: None, up: false }
    }

    /// Begins to connect.
    pub(crate) fn open(&mut self, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        self.up = false;
        desk.counts.connections += 1;
        let (number, slots) = (desk.next_number(), self.members.len());
        let epoll = desk.epoll.as_fd();
        self.connection = Some(Connection::open(&desk.plan.server, slots, number, epoll, self.key as u64)?);
        Ok(())
    }

    /// Takes what the socket is ready for.
    pub(crate) fn turn(&mut self, flags: EventFlags, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let mut buffers = std::mem::take(&mut desk.buffers);
        let first = self.key * desk.plan.streams;
        let mut audience = Audience { members: &mut self.members, desk, first, now: 0, close: false };
        let turn = connection.turn(flags, &mut buffers, &mut audience);
        let close = audience.close;
        desk.buffers = buffers;
        for (slot, reply) in desk.replies.drain(..) {
            connection.send(slot, &reply);
        }
        match turn? {
            Turn::Same => {}
            Turn::Up => {
                self.up = true;
                desk.stay(self.key);
                if let Some(tls) = connection.tls() {
                    desk.shared.tls.get_or_init(|| tls);
                }
                if self.stands(desk) {
                    self.members.iter_mut().for_each(|member| member.set_ready(desk));
                }
            }
            Turn::Ended(ending) => return self.ended(ending, desk),
        }
        if close {
            self.connection = None;
        }
        self.go_on(desk)
    }

    /// Whether it is connected and waits for the sign to ask.
    fn stands(&self, desk: &Desk<'_>) -> bool {
        self.up && matches!(desk.plan.mode, Mode::Return { .. }) && !desk.gone
    }

    /// Asks for those who want to, and sends.
    pub(crate) fn go_on(&mut self, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        let asking = |member: &Subscriber| member.stage() == Stage::Asking;
        let waits = self.connection.is_some() && (!self.up || self.stands(desk));
        if !waits && self.members.iter().any(asking) {
            if self.connection.as_ref().is_some_and(|connection| !connection.takes_requests()) {
                // Those who still wait for an answer get it first.
                if self.members.iter().any(|member| member.stage() == Stage::Waiting) {
                    return self.flush(desk);
                }
                self.connection = None;
            }
            let Some(connection) = &mut self.connection else { return self.open(desk) };
            let mut request = std::mem::take(&mut desk.request);
            for (slot, member) in self.members.iter_mut().enumerate().filter(|(_, member)| asking(member)) {
                request.clear();
                member.ask(desk, &mut request);
                connection.ask(slot, &request);
            }
            desk.request = request;
        }
        self.flush(desk)
    }

    fn flush(&mut self, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        Ok(connection.flush(desk.epoll.as_fd(), &mut desk.buffers)?)
    }

    /// One of them has rested.
    pub(crate) fn wake(&mut self, slot: usize, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        self.members[slot].wake();
        self.go_on(desk)
    }

    /// Has stayed long enough: ends the connection, and comes back over another.
    pub(crate) fn leave(&mut self, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        if !self.up {
            return Ok(());
        }
        // Who has not been told where it is could not read on.
        if self.members.iter().any(|member| !member.has_place()) {
            desk.stay(self.key);
            return Ok(());
        }
        desk.counts.returns += 1;
        self.connection = None;
        self.members.iter_mut().for_each(Subscriber::ask_again);
        self.go_on(desk)
    }

    fn ended(&mut self, ending: Ending, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        let polls = !desk.plan.transport.is_stream();
        match ending {
            Ending::Idle if polls => {}
            // Servers end connections that have had many requests, or none for a while.
            Ending::Asked if polls => self.members.iter_mut().for_each(Subscriber::ask_again),
            Ending::Early => return Err(ConnectionError::Early.into()),
            _ => return Err(SubscriberError::Closed),
        }
        self.connection = None;
        self.go_on(desk)
    }

    /// Gives up.
    pub(crate) fn end(&mut self, desk: &mut Desk<'_>) {
        self.connection = None;
        self.members.iter_mut().for_each(|member| member.end(desk));
    }
}
