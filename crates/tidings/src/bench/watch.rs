//! A look at the server's processes at each stage of a run.

use std::io;

use super::process::{CpuTime, Process};
use super::report::{Memory, Resources};

/// What was seen of the server's processes, all together.
#[derive(Debug)]
pub(crate) struct Watch {
    server: Vec<Process>,
    before: u64,
    idle: u64,
    most: u64,
    served: u64,
    after: u64,
    came: CpuTime,
    began: CpuTime,
    ended: CpuTime,
    began_busy: Option<f64>,
    ended_busy: Option<f64>,
}

// === impl Watch ===

impl Watch {
    /// Looks at the processes before there is any connection.
    pub(crate) fn new(pids: &[u32]) -> io::Result<Self> {
        let server: Vec<_> = pids.iter().copied().map(Process::new).collect::<Result<_, _>>()?;
        let (before, cpu) = (memory(&server)?, cpu(&server)?);
        let [idle, most, served, after] = [before; 4];
        let (came, began, ended) = (cpu, cpu, cpu);
        let (began_busy, ended_busy) = (None, None);
        Ok(Self { server, before, idle, most, served, after, came, began, ended, began_busy, ended_busy })
    }

    /// All connections are there, and nothing happens.
    pub(crate) fn idle(&mut self) -> io::Result<()> {
        self.idle = memory(&self.server)?;
        self.most = self.most.max(self.idle);
        self.began = cpu(&self.server)?;
        self.began_busy = busy(&self.server);
        Ok(())
    }

    /// Looks at it while it works.
    pub(crate) fn busy(&mut self) -> io::Result<()> {
        self.most = self.most.max(memory(&self.server)?);
        self.ended = cpu(&self.server)?;
        self.ended_busy = busy(&self.server);
        Ok(())
    }

    /// Everything has happened, and all connections are still there.
    pub(crate) fn served(&mut self) -> io::Result<()> {
        self.served = memory(&self.server)?;
        Ok(())
    }

    /// Everyone has gone.
    pub(crate) fn after(&mut self) -> io::Result<()> {
        self.after = memory(&self.server)?;
        Ok(())
    }

    /// The account, where `works` is how many things it did while it was busy.
    pub(crate) fn resources(&self, subscribers: usize, connections: usize, works: u64) -> Resources {
        let (opening, cpu) = (self.began.since(self.came), self.ended.since(self.began));
        let each = |seconds: f64| (works > 0).then(|| seconds * 1e6 / works as f64);
        let share =
            |memory: u64, of: usize| (of > 0).then(|| (memory as f64 - self.before as f64) / of as f64);
        Resources {
            opening_cpu_seconds: opening.total(),
            opening_cpu_us_each: (subscribers > 0).then(|| opening.total() * 1e6 / subscribers as f64),
            cpu_seconds: cpu.total(),
            busy_seconds: self.ended_busy.zip(self.began_busy).map(|(ended, began)| ended - began),
            cpu_us_each: each(cpu.total()),
            user_us_each: each(cpu.user),
            system_us_each: each(cpu.system),
            memory: Memory {
                before: self.before,
                idle: self.idle,
                most: self.most,
                served: self.served,
                after: self.after,
                each_connection: share(self.idle, connections),
                each_subscriber: share(self.idle, subscribers),
                each_subscriber_served: share(self.served, subscribers),
            },
        }
    }
}

fn memory(server: &[Process]) -> io::Result<u64> {
    server.iter().map(|process| process.memory()).sum()
}

fn cpu(server: &[Process]) -> io::Result<CpuTime> {
    server.iter().try_fold(CpuTime::default(), |sum, process| Ok(sum.and(process.cpu()?)))
}

fn busy(server: &[Process]) -> Option<f64> {
    server.iter().map(|process| process.busy()).sum()
}
