use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

/// A free port that the system gives to nobody who asks for any port, so that a server finds it free again when it is
/// started again.
#[must_use]
pub fn quiet_port() -> u16 {
    let [port] = quiet_ports();
    port
}

/// Several of them, of which no two are the same.
#[must_use]
pub fn quiet_ports<const COUNT: usize>() -> [u16; COUNT] {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end = range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768);
    let mut ports = BTreeSet::new();
    for _ in 0..100 * COUNT {
        if ports.len() == COUNT {
            break;
        }
        let port = fastrand::u16(10_000..end);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            ports.insert(port);
        }
    }
    let ports: Vec<_> = ports.into_iter().collect();
    ports.try_into().expect("free ports")
}
