//! What is done when the program is told to end before its time.

use tokio::signal::unix::{SignalKind, signal};

use super::own_hub::Room;

/// How a shell tells that a program was interrupted.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// Leaves no folder behind. Hubs of its own end with the process.
pub(crate) fn clear_room_when_told_to_end() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        let code = runtime.block_on(async {
            let (mut interrupt, mut terminate) =
                (signal(SignalKind::interrupt()).ok()?, signal(SignalKind::terminate()).ok()?);
            tokio::select! {
                _ = interrupt.recv() => Some(INTERRUPTED),
                _ = terminate.recv() => Some(TERMINATED),
            }
        });
        if let Some(code) = code {
            Room::clear();
            std::process::exit(code);
        }
    });
}
