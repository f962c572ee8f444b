//! What the disk itself takes to make a write durable: the least that a durable publication can take.

use std::io;
use std::path::Path;
use std::time::Instant;

use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fdatasync, open, unlink};
use rustix::io::pwrite;
use rustix::process::Pid;
use rustix::thread::{sched_getaffinity, sched_setaffinity};

use super::clock::nanos;
use super::latency::Latencies;

const WRITES: u64 = 250;
const FILE_BYTES: u64 = 16 << 20;

/// Writes `size` bytes after each other into a file that has its room already, each made durable before the
/// next. Where the server is on this machine, it is done on the server's cores: a disk's interrupts come to one core,
/// and the same sync may take twice as long from another.
pub(crate) fn bare_syncs(
    folder: &Path,
    size: usize,
    server: Option<u32>,
    latencies: &mut Latencies,
) -> io::Result<()> {
    let own = sched_getaffinity(None)?;
    if let Some(server) = server {
        let server = i32::try_from(server).ok().and_then(Pid::from_raw);
        sched_setaffinity(None, &sched_getaffinity(server)?)?;
    }
    let measured = measure(folder, size, latencies);
    sched_setaffinity(None, &own)?;
    measured
}

fn measure(folder: &Path, size: usize, latencies: &mut Latencies) -> io::Result<()> {
    let path = folder.join(format!("tidings-bench-{}.tmp", std::process::id()));
    let file = open(&path, OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY, Mode::RUSR | Mode::WUSR)?;
    // Nobody else shall find it, and it goes with its descriptor.
    unlink(&path)?;
    fallocate(&file, FallocateFlags::empty(), 0, FILE_BYTES)?;
    // Room that was never written is still to be noted by the file system; a log would not leave it so.
    let zeros = vec![0; 1 << 20];
    for offset in (0..FILE_BYTES).step_by(zeros.len()) {
        pwrite(&file, &zeros, offset)?;
    }
    fdatasync(&file)?;
    let bytes = vec![b'x'; size];
    for write in 0..WRITES {
        let offset = (write * size as u64) % (FILE_BYTES - size as u64);
        let start = Instant::now();
        pwrite(&file, &bytes, offset)?;
        fdatasync(&file)?;
        latencies.record(nanos(start.elapsed()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut latencies = Latencies::new().unwrap();
        bare_syncs(folder.path(), 100, Some(std::process::id()), &mut latencies).unwrap();
        assert!(latencies.percentiles().is_some());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
