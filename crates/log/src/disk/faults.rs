//! A file system in memory that fails as disks do: it tears writes, fills up, refuses to sync and then claims
//! that all is well, and loses with the power what was not synced, sector by sector, in any order.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::files::{File, Files, Identity, Lock};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// No test has a file of which so much could be read at once.
const MOST_BYTES: usize = 64 << 20;

/// The file system.
#[derive(Debug, Clone, Default)]
pub(crate) struct FaultyFiles {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    inodes: HashMap<u64, Inode>,
    names: HashMap<PathBuf, u64>,
    /// The names as they are on the disk, and what has happened to them since.
    durable_names: HashMap<PathBuf, u64>,
    pending_names: Vec<(PathBuf, Option<u64>)>,
    next_inode: u64,
    locked: HashSet<PathBuf>,
    fault: Option<Fault>,
    capacity: Option<u64>,
    /// Operations that change something, so far.
    operations: u64,
    moment: Option<Moment>,
    /// Who has synced files, in order.
    syncs: Vec<std::thread::ThreadId>,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    allocated: u64,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Syncs fail, and what they should have written counts as written.
    Sync,
    /// Writes of more than so many bytes write a part and then find the disk full.
    WriteFull(usize),
    /// Writes fail.
    Write,
    /// Whoever makes a file shorter panics, as the keeper does when it seals a segment.
    PanicAtShortening,
}

/// What is to happen at one moment.
struct Moment {
    after: u64,
    then: Box<dyn FnOnce(FaultyFiles) + Send>,
}

impl std::fmt::Debug for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Moment").field("after", &self.after).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: Arc<Mutex<Disk>>,
    inode: u64,
}

#[derive(Debug)]
struct Held {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
    held: AtomicBool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.held.swap(false, Ordering::Relaxed) {
            self.disk.lock().unwrap().locked.remove(&self.path);
        }
    }
}

// === impl FaultyFiles ===

impl FaultyFiles {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.disk().fault = fault;
    }

    /// From now on there is room for so many bytes in all.
    pub(crate) fn set_capacity(&self, capacity: Option<u64>) {
        self.disk().capacity = capacity;
    }

    pub(crate) fn used(&self) -> u64 {
        self.disk().used()
    }

    /// The threads that synced files, in order.
    pub(crate) fn syncs(&self) -> Vec<std::thread::ThreadId> {
        self.disk().syncs.clone()
    }

    pub(crate) fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// Calls `then` with a copy of the disk as it is after so many operations.
    pub(crate) fn at(&self, after: u64, then: impl FnOnce(FaultyFiles) + Send + 'static) {
        self.disk().moment = Some(Moment { after, then: Box::new(then) });
    }

    /// The disk as the next process finds it after this one was killed.
    pub(crate) fn after_kill(&self) -> Self {
        self.disk().copy()
    }

    /// The disk as it is after the power was cut: of what was not synced, any sectors may be written, and any
    /// names up to some moment.
    pub(crate) fn after_power_cut(&self, random: &mut fastrand::Rng) -> Self {
        let copy = self.disk().copy();
        {
            let mut disk = copy.disk();
            let pending = std::mem::take(&mut disk.pending_names);
            let kept = random.usize(..=pending.len());
            for (path, inode) in pending.into_iter().take(kept) {
                match inode {
                    Some(inode) => disk.durable_names.insert(path, inode),
                    None => disk.durable_names.remove(&path),
                };
            }
            disk.names = disk.durable_names.clone();
            // At times all is lost or all is kept: the chance is drawn for each file.
            for inode in disk.inodes.values_mut() {
                let chance = random.f64() * 1.5 - 0.25;
                for sector in std::mem::take(&mut inode.dirty) {
                    if random.f64() < chance {
                        inode.persist(sector);
                    }
                }
                inode.bytes = inode.durable.clone();
            }
        }
        copy
    }

    /// Changes bytes on the disk, as damage does.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.disk();
        let inode = disk.names[path];
        let inode = disk.inodes.get_mut(&inode).unwrap();
        change(&mut inode.bytes);
        inode.durable = inode.bytes.clone();
        inode.dirty.clear();
    }

    pub(crate) fn contents(&self, path: &Path) -> Vec<u8> {
        let disk = self.disk();
        disk.inodes[&disk.names[path]].bytes.clone()
    }

    fn file(&self, inode: u64) -> Arc<dyn File> {
        Arc::new(FaultyFile { disk: Arc::clone(&self.disk), inode })
    }
}

impl Disk {
    fn copy(&self) -> FaultyFiles {
        let disk = Self {
            inodes: self.inodes.clone(),
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            pending_names: self.pending_names.clone(),
            next_inode: self.next_inode,
            ..Self::default()
        };
        FaultyFiles { disk: Arc::new(Mutex::new(disk)) }
    }

    fn used(&self) -> u64 {
        let named: HashSet<_> = self.names.values().collect();
        self.inodes.iter().filter(|(inode, _)| named.contains(inode)).map(|(_, inode)| inode.room()).sum()
    }

    /// Counts an operation that changes something; before it, the moment comes.
    fn step(&mut self) {
        self.operations += 1;
        if self.moment.as_ref().is_some_and(|moment| moment.after < self.operations)
            && let Some(moment) = self.moment.take()
        {
            (moment.then)(self.copy());
        }
    }

    fn rename(&mut self, path: &Path, inode: Option<u64>) {
        match inode {
            Some(inode) => self.names.insert(path.to_path_buf(), inode),
            None => self.names.remove(path),
        };
        self.pending_names.push((path.to_path_buf(), inode));
    }

    fn has_room(&self, more: u64) -> io::Result<()> {
        if self.capacity.is_some_and(|capacity| self.used() + more > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Inode {
    fn room(&self) -> u64 {
        self.allocated.max(self.bytes.len() as u64)
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
    }

    fn persist(&mut self, sector: usize) {
        let start = (sector * SECTOR).min(self.bytes.len());
        let end = (start + SECTOR).min(self.bytes.len());
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[start..end].copy_from_slice(&self.bytes[start..end]);
    }
}

impl Files for FaultyFiles {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let is_free = self.disk().locked.insert(path.to_path_buf());
        let held =
            Held { disk: Arc::clone(&self.disk), path: path.to_path_buf(), held: AtomicBool::new(is_free) };
        Ok(is_free.then(|| Box::new(held) as Lock))
    }

    fn names(&self, _: &Path) -> io::Result<Vec<String>> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        Ok(self.disk().names.keys().map(name).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let inode = self.disk().names.get(path).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(inode))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        disk.step();
        let inode = disk.next_inode;
        disk.next_inode += 1;
        disk.inodes.insert(inode, Inode::default());
        disk.rename(path, Some(inode));
        drop(disk);
        Ok(self.file(inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step();
        let inode = disk.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        disk.rename(from, None);
        disk.rename(to, Some(inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step();
        disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        disk.rename(path, None);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step();
        disk.durable_names = disk.names.clone();
        disk.pending_names.clear();
        Ok(())
    }

    fn seclude(&self, _: &Path) {}

    fn identity(&self, path: &Path) -> Option<Identity> {
        self.disk().names.get(path).map(|&inode| (0, inode))
    }
}

impl FaultyFiles {
    /// Takes the names of all files away, as whoever removes the folder does.
    pub(crate) fn remove_folder(&self) {
        self.disk().names.clear();
    }
}

impl FaultyFile {
    fn with<T>(&self, work: impl FnOnce(&mut Inode) -> T) -> T {
        work(self.disk.lock().unwrap().inodes.get_mut(&self.inode).unwrap())
    }

    fn step(&self) -> MutexGuard<'_, Disk> {
        let mut disk = self.disk.lock().unwrap();
        disk.step();
        disk
    }
}

impl File for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|inode| inode.bytes.len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        assert!(buffer.len() <= MOST_BYTES, "{} bytes are far more than any file has", buffer.len());
        Ok(self.with(|inode| {
            let rest = inode.bytes.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        }))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.step();
        let fault = disk.fault;
        let room = disk.inodes[&self.inode].room();
        disk.has_room((offset + bytes.len() as u64).saturating_sub(room))?;
        let inode = disk.inodes.get_mut(&self.inode).unwrap();
        match fault {
            Some(Fault::Write) => Err(io::Error::from_raw_os_error(5)),
            Some(Fault::WriteFull(limit)) if bytes.len() > limit => {
                inode.write(&bytes[..bytes.len() * 3 / 4], offset as usize);
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => {
                inode.write(bytes, offset as usize);
                Ok(())
            }
        }
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.step();
        disk.has_room(bytes)?;
        disk.inodes.get_mut(&self.inode).unwrap().allocated = bytes;
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.step();
        if disk.fault == Some(Fault::PanicAtShortening) {
            drop(disk);
            unreachable!("this fault is a panic");
        }
        let inode = disk.inodes.get_mut(&self.inode).unwrap();
        inode.bytes.resize(bytes as usize, 0);
        inode.allocated = bytes;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.step();
        disk.syncs.push(std::thread::current().id());
        let fault = disk.fault;
        let inode = disk.inodes.get_mut(&self.inode).unwrap();
        let dirty = std::mem::take(&mut inode.dirty);
        if fault == Some(Fault::Sync) {
            return Err(io::Error::from_raw_os_error(5));
        }
        dirty.into_iter().for_each(|sector| inode.persist(sector));
        let length = inode.bytes.len();
        inode.durable.resize(length, 0);
        Ok(())
    }
}
