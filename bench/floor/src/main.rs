//! What sending an event to every subscriber takes at the least: for each publication one `send()` of its bytes
//! to each socket, in one thread. It knows no more of HTTP than that a `GET` subscribes and a `POST` publishes.
//!
//! A subscriber that does not take all at once, or comes back with a `Last-Event-ID`, goes on from its place in
//! all that was ever published: one `send()` of what is missing, as often as its socket has room.
//!
//! Over TLS it seals the bytes for each connection before it sends them, and over HTTP/2 it puts the frames of all streams of a
//! connection into one `send()`. What a connection speaks, its first bytes tell.
//!
//! With `--file PATH`, a publication is written to the file and synced before it is answered: what a durable publication takes at
//! the least. With `--tls CERTIFICATE KEY`, two PEM files, connections may be encrypted.

use std::error::Error;
use std::fs::File;
use std::io::{Write as _, stdout};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fs::fdatasync;
use rustix::io::{Errno, pwrite};
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, listen, recv, send, sockopt};
use rustls::ServerConfig;

mod http2;
mod tls;

use http2::{Http2, Wish};
use tls::Tls;

struct Floor {
    epoll: OwnedFd,
    peers: Vec<Option<Peer>>,
    /// Every frame that was ever made.
    history: Vec<u8>,
    events: u64,
    file: Option<File>,
    tls: Option<Arc<ServerConfig>>,
    /// Where frames and records are made.
    framed: Vec<u8>,
    sealed: Vec<u8>,
}

struct Peer {
    fd: OwnedFd,
    /// What it has said and was not answered yet.
    asked: Vec<u8>,
    /// How much of the history a subscriber has.
    sent: Option<usize>,
    clogged: bool,
    tls: Option<Tls>,
    http2: Option<Http2>,
    /// What is not opened yet.
    wire: Vec<u8>,
    /// Frames and records that the socket has not taken.
    unsent: Vec<u8>,
}

const FILE_BYTES: u64 = 16 << 20;
const LISTENER: u64 = u64::MAX;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
const RECEIPT: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let address: SocketAddr = words.first().map_or("127.0.0.1:8090", |text| text).parse()?;
    let flag = |name: &str| words.iter().position(|word| word == name).map(|place| &words[place + 1..]);
    let file = flag("--file").and_then(<[_]>::first).map(|path| prepare(path)).transpose()?;
    let tls = match flag("--tls") {
        Some([certificate, key, ..]) => Some(tls::configuration(certificate, key)?),
        _ => None,
    };
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    listen(&listener, 4_096)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    writeln!(stdout(), "floor listening on {}", listener.local_addr()?)?;
    let mut floor = Floor {
        epoll,
        peers: Vec::new(),
        history: Vec::new(),
        events: 0,
        file,
        tls,
        framed: Vec::new(),
        sealed: Vec::new(),
    };
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
            let peer = Some(Peer {
                fd,
                asked: Vec::new(),
                sent: None,
                clogged: false,
                tls: None,
                http2: None,
                wire: Vec::new(),
                unsent: Vec::new(),
            });
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
                let Ok(()) = peer.hear(&buffer[..length], self.tls.as_ref()) else {
                    self.peers[key] = None;
                    return Ok(());
                };
                let speaks = !peer.unsent.is_empty();
                self.answer(key)?;
                if speaks {
                    self.send(key)?;
                }
            }
            Err(Errno::AGAIN) => {}
            Err(_) => self.peers[key] = None,
        }
        Ok(())
    }

    /// Answers what a peer has asked, once it is whole.
    fn answer(&mut self, key: usize) -> rustix::io::Result<()> {
        let Some(Some(peer)) = self.peers.get_mut(key) else { return Ok(()) };
        if peer.http2.is_some() {
            return self.answer_http2(key);
        }
        let Some(head) = peer.asked.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(()) };
        let text = String::from_utf8_lossy(&peer.asked[..head]).to_ascii_lowercase();
        if text.starts_with("get ") {
            peer.asked = Vec::new();
            peer.sent = Some(if text.contains("last-event-id:") { 0 } else { self.history.len() });
            peer.say(HEAD);
            return self.send(key);
        }
        let length = text.split("content-length:").nth(1).and_then(|rest| rest.split("\r\n").next());
        let end = head + 4 + length.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0);
        if peer.asked.len() < end {
            return Ok(());
        }
        let data = peer.asked[head + 4..end].to_vec();
        peer.asked.clear();
        peer.say(RECEIPT);
        self.publish(&data, key)
    }

    fn answer_http2(&mut self, key: usize) -> rustix::io::Result<()> {
        let mut out = Vec::new();
        while let Some(Some(Peer { http2: Some(http2), asked, sent, .. })) = self.peers.get_mut(key)
            && let Some(wish) = http2.take(asked, &mut out)
        {
            match wish {
                Wish::Subscribe => *sent = Some(self.history.len()),
                Wish::Publish { stream, data } => {
                    http2::write_receipt(stream, &mut out);
                    self.say(key, &mut out);
                    self.publish(&data, key)?;
                }
            }
        }
        self.say(key, &mut out);
        self.send(key)
    }

    fn say(&mut self, key: usize, bytes: &mut Vec<u8>) {
        if let Some(Some(peer)) = self.peers.get_mut(key) {
            peer.say(bytes);
        }
        bytes.clear();
    }

    /// The publisher's answer goes first, and then the event to everyone.
    fn publish(&mut self, data: &[u8], publisher: usize) -> rustix::io::Result<()> {
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
        self.send(publisher)?;
        (0..self.peers.len()).try_for_each(|key| self.send(key))
    }

    /// Sends a peer what it has not got, as far as its socket has room.
    fn send(&mut self, key: usize) -> rustix::io::Result<()> {
        let Some(Some(peer)) = self.peers.get_mut(key) else { return Ok(()) };
        let missing = &self.history[peer.sent.unwrap_or(self.history.len())..];
        let result = if !peer.unsent.is_empty() || peer.tls.is_some() || peer.http2.is_some() {
            if peer.unsent.is_empty() && !missing.is_empty() {
                peer.sent = Some(self.history.len());
                let Peer { http2, tls, unsent, .. } = peer;
                self.framed.clear();
                match http2 {
                    Some(http2) => http2.deliver(missing, &mut self.framed),
                    None => self.framed.extend_from_slice(missing),
                }
                self.sealed.clear();
                let made = match tls {
                    Some(tls) => {
                        // A key seals whatever fits into a record.
                        drop(tls.seal(&self.framed, &mut self.sealed));
                        &self.sealed
                    }
                    None => &self.framed,
                };
                send(&peer.fd, made, SendFlags::NOSIGNAL)
                    .or_else(full)
                    .map(|length| unsent.extend(&made[length..]))
            } else {
                let sent = send(&peer.fd, &peer.unsent, SendFlags::NOSIGNAL).or_else(full);
                sent.map(|length| drop(peer.unsent.drain(..length)))
            }
        } else if let Some(sent) = &mut peer.sent
            && !missing.is_empty()
        {
            send(&peer.fd, missing, SendFlags::NOSIGNAL).or_else(full).map(|length| *sent += length)
        } else {
            Ok(())
        };
        if result.is_err() {
            self.peers[key] = None;
            return Ok(());
        }
        let behind = peer.sent.is_some_and(|sent| sent < self.history.len());
        if peer.clogged != (behind || !peer.unsent.is_empty()) {
            peer.clogged = !peer.clogged;
            let out = if peer.clogged { EventFlags::OUT } else { EventFlags::empty() };
            epoll::modify(&self.epoll, &peer.fd, EventData::new_u64(key as u64), EventFlags::IN | out)?;
        }
        Ok(())
    }
}

/// A socket that is full has taken nothing.
fn full(error: Errno) -> rustix::io::Result<usize> {
    if error == Errno::AGAIN { Ok(0) } else { Err(error) }
}

// === impl Peer ===

impl Peer {
    /// Takes what has come. Its first bytes tell what is spoken.
    fn hear(&mut self, bytes: &[u8], config: Option<&Arc<ServerConfig>>) -> Result<(), Box<dyn Error>> {
        const TLS_HANDSHAKE: u8 = 22;
        let fresh = self.sent.is_none() && self.asked.is_empty() && self.wire.is_empty();
        if let (true, None, Some(config)) = (fresh && bytes[0] == TLS_HANDSHAKE, &self.tls, config) {
            self.tls = Some(Tls::new(config)?);
        }
        match &mut self.tls {
            Some(tls) => {
                self.wire.extend_from_slice(bytes);
                let mut out = Vec::new();
                tls.take(&mut self.wire, &mut self.asked, &mut out)?;
                self.unsent.extend(out);
            }
            None => self.asked.extend_from_slice(bytes),
        }
        if self.http2.is_none() && self.asked.starts_with(&http2::PREFACE[..4]) {
            self.http2 = Some(Http2::default());
        }
        Ok(())
    }

    /// Puts an answer on its way.
    fn say(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            Some(tls) => drop(tls.seal(bytes, &mut self.unsent)),
            None => self.unsent.extend_from_slice(bytes),
        }
    }
}
