//! What sending an event to every subscriber takes at the least: for each publication one `send()` of its bytes
//! to each socket, in one thread. It knows no more of HTTP than that a `GET` subscribes and a `POST` publishes.
//!
//! A subscriber that does not take all at once, or comes back with a `Last-Event-ID`, goes on from its place in
//! all that was ever published: one `send()` of what is missing, as often as its socket has room.
//!
//! With a file as its second argument, a publication is written to it and synced before it is answered: what a durable
//! publication takes at the least.

use std::error::Error;
use std::fs::File;
use std::io::{Write as _, stdout};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fs::fdatasync;
use rustix::io::{Errno, pwrite};
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, listen, recv, send, sockopt};

struct Floor {
    epoll: OwnedFd,
    peers: Vec<Option<Peer>>,
    /// Every frame that was ever made.
    history: Vec<u8>,
    events: u64,
    file: Option<File>,
}

struct Peer {
    fd: OwnedFd,
    /// What it has said and was not answered yet.
    asked: Vec<u8>,
    /// How much of the history a subscriber has.
    sent: Option<usize>,
    clogged: bool,
}

const FILE_BYTES: u64 = 16 << 20;
const LISTENER: u64 = u64::MAX;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
const RECEIPT: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8090").parse()?;
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    listen(&listener, 4_096)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    writeln!(stdout(), "floor listening on http://{}", listener.local_addr()?)?;
    let file = std::env::args().nth(2).map(|path| prepare(&path)).transpose()?;
    let mut floor = Floor { epoll, peers: Vec::new(), history: Vec::new(), events: 0, file };
    let (mut events, mut buffer): (Vec<Event>, _) = (Vec::with_capacity(1_024), vec![0; 64 << 10]);
    loop {
        events.clear();
        epoll::wait(&floor.epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            match event.data.u64() {
                LISTENER => floor.accept(&listener)?,
                key => floor.turn(key as usize, event.flags, &mut buffer)?,
            }
        }
    }
}

/// A file that has its room already, as a log's has.
fn prepare(path: &str) -> std::io::Result<File> {
    let file = File::create(path)?;
    (0..FILE_BYTES >> 20).try_for_each(|place| file.write_all_at(&[0; 1 << 20], place << 20))?;
    file.sync_all()?;
    Ok(file)
}

// === impl Floor ===

impl Floor {
    fn accept(&mut self, listener: &TcpListener) -> rustix::io::Result<()> {
        while let Ok(fd) = accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            sockopt::set_tcp_nodelay(&fd, true)?;
            let key = self.peers.iter().position(Option::is_none).unwrap_or(self.peers.len());
            epoll::add(&self.epoll, &fd, EventData::new_u64(key as u64), EventFlags::IN)?;
            let peer = Some(Peer { fd, asked: Vec::new(), sent: None, clogged: false });
            if key < self.peers.len() { self.peers[key] = peer } else { self.peers.push(peer) }
        }
        Ok(())
    }

    fn turn(&mut self, key: usize, flags: EventFlags, buffer: &mut [u8]) -> rustix::io::Result<()> {
        let Some(Some(peer)) = self.peers.get_mut(key) else { return Ok(()) };
        if flags.contains(EventFlags::OUT) {
            return self.send(key);
        }
        match recv(&peer.fd, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => self.peers[key] = None,
            Ok((_, length)) => {
                peer.asked.extend_from_slice(&buffer[..length]);
                self.answer(key)?;
            }
            Err(Errno::AGAIN) => {}
            Err(_) => self.peers[key] = None,
        }
        Ok(())
    }

    /// Answers what a peer has asked, once it is whole.
    fn answer(&mut self, key: usize) -> rustix::io::Result<()> {
        let Some(Some(peer)) = self.peers.get_mut(key) else { return Ok(()) };
        let Some(head) = peer.asked.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(()) };
        let text = String::from_utf8_lossy(&peer.asked[..head]).to_ascii_lowercase();
        if text.starts_with("get ") {
            peer.asked = Vec::new();
            peer.sent = Some(if text.contains("last-event-id:") { 0 } else { self.history.len() });
            _ = send(&peer.fd, HEAD, SendFlags::NOSIGNAL)?;
            return self.send(key);
        }
        let length = text.split("content-length:").nth(1).and_then(|rest| rest.split("\r\n").next());
        let end = head + 4 + length.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0);
        if peer.asked.len() < end {
            return Ok(());
        }
        let data = &peer.asked[head + 4..end];
        if let Some(file) = &self.file {
            let place = self.events * data.len() as u64 % (FILE_BYTES - data.len() as u64);
            pwrite(file, data, place)?;
            fdatasync(file)?;
        }
        self.events += 1;
        // As many bytes as an id of Tidings has.
        self.history.extend_from_slice(format!("id: floor0-{}\ndata: ", self.events).as_bytes());
        self.history.extend_from_slice(data);
        self.history.extend_from_slice(b"\n\n");
        peer.asked.clear();
        _ = send(&peer.fd, RECEIPT, SendFlags::NOSIGNAL)?;
        (0..self.peers.len()).try_for_each(|key| self.send(key))
    }

    /// Sends a subscriber what it has not got, as far as its socket has room.
    fn send(&mut self, key: usize) -> rustix::io::Result<()> {
        let Some(Some(Peer { fd, sent: Some(sent), clogged, .. })) = self.peers.get_mut(key) else {
            return Ok(());
        };
        let missing = &self.history[*sent..];
        if !missing.is_empty() {
            match send(&*fd, missing, SendFlags::NOSIGNAL) {
                Ok(length) => *sent += length,
                Err(Errno::AGAIN) => {}
                Err(_) => {
                    self.peers[key] = None;
                    return Ok(());
                }
            }
        }
        if *clogged != (*sent < self.history.len()) {
            *clogged = !*clogged;
            let out = if *clogged { EventFlags::OUT } else { EventFlags::empty() };
            epoll::modify(&self.epoll, fd, EventData::new_u64(key as u64), EventFlags::IN | out)?;
        }
        Ok(())
    }
}
