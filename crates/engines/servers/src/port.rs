use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// The ports that this process has drawn. None is drawn again: who has drawn it may have still to listen there, or to
/// listen there again.
static DRAWN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A free port that the system gives to nobody who asks for any port, so that a server finds it free again when it is
/// started again.
#[must_use]
pub fn quiet_port() -> u16 {
    let [port] = quiet_ports();
    port
}

/// Several of them.
#[must_use]
pub fn quiet_ports<const COUNT: usize>() -> [u16; COUNT] {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end = range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768);
    let mut drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut draws = (0..100 * COUNT).map(|_| fastrand::u16(10_000..end));
    std::array::from_fn(|_| {
        draws
            .find(|&port| {
                !drawn.contains(&port)
                    && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
                    && drawn.insert(port)
            })
            .expect("free ports")
    })
}
