use std::net::{Ipv4Addr, TcpListener};

/// A free port that the system gives to nobody who asks for any port, so that a server finds it free again when it is
/// started again.
#[must_use]
pub fn quiet_port() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end = range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768);
    (0..100)
        .map(|_| fastrand::u16(10_000..end))
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("a free port")
}
