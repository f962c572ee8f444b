use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// A proxy on the way to a server that delivers everything late, as a long or bad line does. It ends with the process.
#[derive(Debug)]
pub struct SlowProxy {
    port: u16,
    /// How late is what clients say, and what the server says, in microseconds.
    delays: [Arc<AtomicU64>; 2],
    ended: Arc<AtomicBool>,
}

// === impl SlowProxy ===

impl SlowProxy {
    /// Listens on a port of its own, and goes on to `server`.
    #[must_use]
    pub fn start(server: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { port, delays: Default::default(), ended: Arc::default() };
        proxy.set_delay(delay);
        let ([ask, answer], ended) = (proxy.delays.clone(), Arc::clone(&proxy.ended));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { continue };
                let (back, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                relay(client, server, Arc::clone(&ask));
                relay(back, to, Arc::clone(&answer));
            }
        });
        proxy
    }

    /// How late everything is from now on, in both directions.
    pub fn set_delay(&self, delay: Duration) {
        self.delays.iter().for_each(|own| set(own, delay));
    }

    /// How late everything is from now on that the server says.
    pub fn set_answer_delay(&self, delay: Duration) {
        set(&self.delays[1], delay);
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for SlowProxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

fn set(own: &AtomicU64, delay: Duration) {
    own.store(u64::try_from(delay.as_micros()).unwrap(), Ordering::Relaxed);
}

/// Reads at once and writes late, so that the delay holds nothing up.
fn relay(mut from: TcpStream, mut to: TcpStream, delay: Arc<AtomicU64>) {
    drop(to.set_nodelay(true));
    let (send, receive) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let due = Instant::now() + Duration::from_micros(delay.load(Ordering::Relaxed));
            if send.send((due, buffer[..count].to_vec())).is_err() {
                break;
            }
        }
        drop(from.shutdown(Shutdown::Read));
    });
    thread::spawn(move || {
        for (due, bytes) in receive {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        drop(to.shutdown(Shutdown::Both));
    });
}
