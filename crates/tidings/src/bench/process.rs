//! What the server's process takes of the machine, as the system tells it.

use std::fs;
use std::io;

/// A process on this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pid: u32,
}

/// Time on a processor, in seconds since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct CpuTime {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

// === impl Process ===

impl Process {
    /// A process that can be looked at.
    ///
    /// # Errors
    /// Where there is none, or it is somebody else's.
    pub(crate) fn new(pid: u32) -> io::Result<Self> {
        let process = Self { pid };
        process.cpu()?;
        process.memory()?;
        Ok(process)
    }

    /// This process.
    pub(crate) fn own() -> Self {
        Self { pid: std::process::id() }
    }

    pub(crate) fn cpu(self) -> io::Result<CpuTime> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        read_cpu(&stat, ticks).ok_or_else(|| io::Error::other("`stat` has an unknown form"))
    }

    /// How long its threads have been on a processor, in seconds, more exactly than [`cpu`](Self::cpu), which counts ticks of 10 ms.
    /// `None` where the system does not say so.
    pub(crate) fn busy(self) -> Option<f64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).ok()?;
        let threads = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
        // One that has ended meanwhile counts no more.
        Some(threads.filter_map(|thread| busy(self.pid, thread)).sum())
    }

    /// The proportional set size, in bytes: what is shared with other processes counts in part.
    pub(crate) fn memory(self) -> io::Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        read_pss(&rollup).ok_or_else(|| io::Error::other("`smaps_rollup` has an unknown form"))
    }
}

// === impl CpuTime ===

impl CpuTime {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self { user: self.user + other.user, system: self.system + other.system }
    }

    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

/// How long a thread has been on a processor, in seconds.
pub(crate) fn busy(pid: u32, thread: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).ok()?;
    Some(stat.split_whitespace().next()?.parse::<u64>().ok()? as f64 / 1e9)
}

fn read_cpu(stat: &str, ticks_per_second: f64) -> Option<CpuTime> {
    // The second field is a name in parentheses, which may have any characters.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut seconds = || Some(fields.next()?.parse::<u64>().ok()? as f64 / ticks_per_second);
    Some(CpuTime { user: seconds()?, system: seconds()? })
}

fn read_pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "42 (a) b) c) S 1 42 42 0 -1 4194560 1 0 0 0 250 1000 0 0 20 0 4 0 100 1 1";
        assert_eq!(read_cpu(stat, 100.0), Some(CpuTime { user: 2.5, system: 10.0 }));
        assert_eq!(read_cpu("42 (a", 100.0), None);
    }

    #[test]
    fn the_proportional_set_size_is_one_line_of_many() {
        let rollup =
            "5581-7fff ---p 0 0 0 [rollup]\nRss:     1856 kB\nPss:      394 kB\nPss_Dirty:  116 kB\n";
        assert_eq!(read_pss(rollup), Some(394 << 10));
        assert_eq!(read_pss("Rss: 1 kB\n"), None);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let process = Process::new(std::process::id()).unwrap();
        assert!(process.memory().unwrap() > 100_000);
    }
}
