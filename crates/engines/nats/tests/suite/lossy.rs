use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A way to NATS on which messages of a stream are lost, as when a route between two nodes breaks. Everything else gets
/// through.
pub(crate) struct Lossy {
    port: u16,
    lost: Arc<Mutex<BTreeSet<u64>>>,
}

// === impl Lossy ===

impl Lossy {
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let lost = Arc::<Mutex<BTreeSet<u64>>>::default();
        let own = Self { port, lost: Arc::clone(&lost) };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { continue };
                let (mut up, mut down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || {
                    drop(std::io::copy(&mut up, &mut down));
                    drop(down.shutdown(Shutdown::Both));
                });
                let lost = Arc::clone(&lost);
                thread::spawn(move || {
                    drop(deliver(server, &client, &lost));
                    drop(client.shutdown(Shutdown::Both));
                });
            }
        });
        own
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}/LOG", self.port)
    }

    /// Loses a message of the stream, once.
    pub(crate) fn loses(&self, number: u64) {
        self.lost.lock().unwrap().insert(number);
    }

    /// Whether it has lost all that it was told to.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost.lock().unwrap().is_empty()
    }
}

fn deliver(from: TcpStream, mut to: &TcpStream, lost: &Mutex<BTreeSet<u64>>) -> std::io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let mut frame = Vec::new();
        if from.read_until(b'\n', &mut frame)? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&frame).trim_end().to_owned();
        let words: Vec<_> = line.split(' ').collect();
        let mut is_lost = false;
        if let ["MSG" | "HMSG", .., size] = words[..] {
            let head = frame.len();
            frame.resize(head + size.parse::<usize>().unwrap() + 2, 0);
            from.read_exact(&mut frame[head..])?;
            // Where to acknowledge it says which message it is.
            let number =
                words.iter().find_map(|word| word.strip_prefix("$JS.ACK.")?.split('.').nth(3)?.parse().ok());
            is_lost = number.is_some_and(|number| lost.lock().unwrap().remove(&number));
        }
        if !is_lost {
            to.write_all(&frame)?;
        }
    }
}
