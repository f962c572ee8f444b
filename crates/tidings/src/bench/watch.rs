//! A look at the server's process at each stage of a run.

use std::io;

use super::process::{CpuTime, Process};
use super::report::{Memory, Resources};

/// What was seen of the server's process.
#[derive(Debug)]
pub(crate) struct Watch {
    server: Process,
    before: u64,
    idle: u64,
    most: u64,
    after: u64,
    began: CpuTime,
    ended: CpuTime,
}

// === impl Watch ===

impl Watch {
    /// Looks at the process before there is any connection.
    pub(crate) fn new(pid: u32) -> io::Result<Self> {
        let server = Process::new(pid)?;
        let (before, cpu) = (server.memory()?, server.cpu()?);
        Ok(Self { server, before, idle: before, most: before, after: before, began: cpu, ended: cpu })
    }

    /// All connections are there, and nothing happens.
    pub(crate) fn idle(&mut self) -> io::Result<()> {
        self.idle = self.server.memory()?;
        self.most = self.most.max(self.idle);
        self.began = self.server.cpu()?;
        Ok(())
    }

    /// Looks at it while it works.
    pub(crate) fn busy(&mut self) -> io::Result<()> {
        self.most = self.most.max(self.server.memory()?);
        self.ended = self.server.cpu()?;
        Ok(())
    }

    /// Everyone has gone.
    pub(crate) fn after(&mut self) -> io::Result<()> {
        self.after = self.server.memory()?;
        Ok(())
    }

    /// The account, where `works` is how many things it did while it was busy.
    pub(crate) fn resources(&self, connections: usize, works: u64) -> Resources {
        let cpu = self.ended.since(self.began);
        let each = |seconds: f64| (works > 0).then(|| seconds * 1e6 / works as f64);
        Resources {
            cpu_seconds: cpu.total(),
            cpu_us_each: each(cpu.total()),
            user_us_each: each(cpu.user),
            system_us_each: each(cpu.system),
            memory: Memory {
                before: self.before,
                idle: self.idle,
                most: self.most,
                after: self.after,
                each_connection: (connections > 0)
                    .then(|| (self.idle as f64 - self.before as f64) / connections as f64),
            },
        }
    }
}
