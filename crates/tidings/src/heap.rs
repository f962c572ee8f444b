//! Memory that is free, given back to the system.

use std::time::Duration;

use tidings_http::Api;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked at whether there may be something to give back.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many readers have to have come for that.
const ARRIVALS: u64 = 500;
/// How many, where no more have come since it was looked at last.
const LAST_ARRIVALS: u64 = 50;
/// How many bytes have to have become free for that, else.
const FREED: usize = 16 << 20;
/// What takes so many bytes is asked of the system by itself, and given back by itself when it is free. The allocator
/// would move this bound upwards, and then keep large pieces.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const BY_ITSELF: i32 = 1 << 20;

/// Gives memory back after many readers have come, and after much of it has become free, for as long as it is
/// polled.
///
/// A request needs some kilobytes until it is answered or parked, and a stream that waits next to nothing.
/// Where thousands come at once, as after a restart, the allocator would keep those kilobytes for each. It would keep
/// what large bodies and slow readers took as well, after they have gone.
pub(crate) async fn tidy(api: Api) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    bound();
    let (mut seen, mut before, mut free) = (0, 0, usize::MAX);
    loop {
        ticks.tick().await;
        let arrived = api.arrivals();
        let enough =
            if std::mem::replace(&mut before, arrived) == arrived { LAST_ARRIVALS } else { ARRIVALS };
        // What was given back is free as well, so only what became free since then tells.
        free = free.min(free_bytes());
        if arrived - seen >= enough || free_bytes().saturating_sub(free) >= FREED {
            seen = arrived;
            trim();
            free = free_bytes();
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the C library has no safe way to ask for this")]
fn bound() {
    // SAFETY: mallopt may be called at any time and from any thread; it only sets where large pieces come from.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, BY_ITSELF);
    }
}

/// The bytes that the allocator has and nobody uses, whether it has given them back or not.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the C library has no safe way to ask for this")]
fn free_bytes() -> usize {
    // SAFETY: mallinfo2 may be called at any time and from any thread; it only reads.
    unsafe { libc::mallinfo2() }.fordblks
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the C library has no safe way to ask for this")]
fn trim() {
    // SAFETY: malloc_trim may be called at any time and from any thread; it only returns unused pages.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn bound() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn free_bytes() -> usize {
    0
}

/// Other allocators give memory back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}
