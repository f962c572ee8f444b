//! Memory that is free, given back to the system.

use std::time::Duration;

use tidings_http::Face;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked at whether there may be something to give back.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many connections have to have come for that.
const CONNECTIONS: u64 = 500;

/// Gives memory back after many connections have come, for as long as it is polled.
///
/// A connection needs some kilobytes until its first request is answered or parked, and then next to nothing.
/// Where thousands come at once, as after a restart, the allocator would keep those kilobytes for each.
pub(crate) async fn tidy(face: Face) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = 0;
    loop {
        ticks.tick().await;
        let accepted = face.accepted_connections();
        if accepted - seen >= CONNECTIONS {
            seen = accepted;
            trim();
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the C library has no safe way to ask for this")]
fn trim() {
    // SAFETY: malloc_trim may be called at any time and from any thread; it only returns unused pages.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators give memory back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}
