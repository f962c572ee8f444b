use std::io;

/// What the process takes of the machine, as the system tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Process {
    pub(super) open_files: u64,
    pub(super) max_files: Option<u64>,
    /// The resident set, in bytes.
    pub(super) memory: u64,
    /// Time on processors, in seconds.
    pub(super) cpu: f64,
    /// When it began, in seconds since 1970.
    pub(super) start: f64,
}

// === impl Process ===

impl Process {
    /// This process.
    #[cfg(all(target_os = "linux", not(feature = "portable")))]
    pub(super) fn own() -> io::Result<Self> {
        use std::fs;

        let unknown = || io::Error::other("/proc has an unknown form");
        let (stat, statm) = (fs::read_to_string("/proc/self/stat")?, fs::read_to_string("/proc/self/statm")?);
        let boot = fs::read_to_string("/proc/stat")?;
        let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
        let (cpu, start) = times(&stat).ok_or_else(unknown)?;
        let second = rustix::param::clock_ticks_per_second() as f64;
        let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).ok_or_else(unknown)?;
        Ok(Self {
            open_files: open_files()?,
            max_files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            memory: pages * rustix::param::page_size() as u64,
            cpu: cpu as f64 / second,
            start: boot.ok_or_else(unknown)? as f64 + start as f64 / second,
        })
    }

    /// Other systems tell it in ways of their own, which are not asked.
    #[cfg(any(not(target_os = "linux"), feature = "portable"))]
    pub(super) fn own() -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux is asked what a process takes"))
    }
}

/// Since Linux 6.2 the folder's length says how many there are. To count a hundred thousand takes a while.
#[cfg(all(target_os = "linux", not(feature = "portable")))]
fn open_files() -> io::Result<u64> {
    match std::fs::metadata("/proc/self/fd")?.len() {
        0 => Ok(std::fs::read_dir("/proc/self/fd")?.count() as u64),
        count => Ok(count),
    }
}

/// The time on processors, and when the process began, since the machine did; in ticks.
#[cfg(all(target_os = "linux", not(feature = "portable")))]
fn times(stat: &str) -> Option<(u64, u64)> {
    // The second field is a name in parentheses, which may have any characters.
    let (_, fields) = stat.rsplit_once(") ")?;
    let field = |place: usize| fields.split(' ').nth(place - 3)?.parse::<u64>().ok();
    Some((field(14)? + field(15)?, field(22)?))
}

#[cfg(all(test, target_os = "linux", not(feature = "portable")))]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "42 (a) b) c) S 1 42 42 0 -1 4194560 1 0 0 0 250 1000 0 0 20 0 4 0 777 1 1";
        assert_eq!(times(stat), Some((1_250, 777)));
        assert_eq!(times("42 (a"), None);
    }

    #[test]
    fn this_process_began_before_now() {
        let process = Process::own().unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!(process.start < now + 1.0 && process.start > now - 86_400.0, "{process:?} at {now}");
        assert!(process.memory > 1 << 20 && process.open_files > 2, "{process:?}");
    }
}
