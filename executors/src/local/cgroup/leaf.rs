//! The control group of one attempt.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::local::records::Limits;

/// The group's folder in each tree that is in use. All absent where there are no groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    pub(super) unified: Option<PathBuf>,
    pub(super) memory_v1: Option<PathBuf>,
    pub(super) pids_v1: Option<PathBuf>,
}

/// Open files by which a new process enters the group before it executes anything.
pub(crate) struct Joins {
    /// The v2 folder, for a process that is born into it.
    pub(crate) unified: Option<File>,
    /// `cgroup.procs` of the v2 folder, where being born into it is refused.
    pub(crate) unified_procs: Option<File>,
    /// `tasks` of v1 groups. The kernel takes the writer itself at once through this file,
    /// while `cgroup.procs` waits for an RCU grace period: some 15 ms a step.
    pub(crate) tasks_v1: Vec<File>,
}

/// The kernel's counters. Absent where no controller counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) cpu_us: Option<u64>,
    pub(crate) memory_peak_bytes: Option<u64>,
    pub(crate) memory_v2: bool,
    pub(crate) oom_kills: u64,
}

impl Leaf {
    /// Whether the kernel can name and kill all processes of the attempt.
    pub(crate) fn is_exact(&self) -> bool {
        self.unified.is_some()
    }

    /// Whether memory is bounded for all processes of the attempt together.
    pub(crate) fn has_memory(&self) -> bool {
        let v2 = || self.unified.as_ref().is_some_and(|dir| dir.join("memory.max").exists());
        self.memory_v1.is_some() || v2()
    }

    /// Its folders, made or not.
    pub fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.unified, &self.memory_v1, &self.pids_v1].into_iter().flatten()
    }

    /// Makes the group and sets its limits. Returns whether memory is bounded by it.
    pub(crate) fn create(&self, limits: &Limits) -> io::Result<bool> {
        for dir in self.folders() {
            match make(dir) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        if let Some(dir) = &self.pids_v1 {
            set(dir, "pids.max", limits.pids);
        }
        if let Some(dir) = &self.unified {
            set(dir, "pids.max", limits.pids);
            if limits.cpu_milli > 0 {
                set(dir, "cpu.max", format_args!("{} 100000", limits.cpu_milli * 100));
            }
        }
        Ok(limits.memory_bytes == 0 || self.limit_memory(limits.memory_bytes))
    }

    fn limit_memory(&self, bytes: u64) -> bool {
        if let Some(dir) = &self.memory_v1 {
            let bounded = set(dir, "memory.limit_in_bytes", bytes);
            set(dir, "memory.memsw.limit_in_bytes", bytes);
            return bounded;
        }
        let Some(dir) = &self.unified else { return false };
        let bounded = set(dir, "memory.max", bytes);
        set(dir, "memory.swap.max", 0);
        set(dir, "memory.oom.group", 1);
        bounded
    }

    /// Opens what a new process needs to enter.
    pub(crate) fn joins(&self) -> io::Result<Joins> {
        let write = |path: PathBuf| OpenOptions::new().write(true).open(path);
        let tasks = [&self.memory_v1, &self.pids_v1].into_iter().flatten();
        Ok(Joins {
            unified: self.unified.as_ref().map(File::open).transpose()?,
            unified_procs: self
                .unified
                .as_ref()
                .map(|dir| write(dir.join("cgroup.procs")))
                .transpose()?,
            tasks_v1: tasks.map(|dir| write(dir.join("tasks"))).collect::<Result<_, _>>()?,
        })
    }

    /// Numbers of the processes in it.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let Some(dir) = &self.unified else { return Vec::new() };
        let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Kills every process in it, also those that are being made. False where that is not to
    /// be had (before Linux 5.14, or no group).
    pub(crate) fn kill(&self) -> bool {
        self.unified.as_ref().is_some_and(|dir| set(dir, "cgroup.kill", 1))
    }

    /// Reads the counters: they vanish with the group.
    pub(crate) fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        if let Some(dir) = &self.unified {
            counters.cpu_us = keyed(&dir.join("cpu.stat"), "usage_usec");
            counters.memory_peak_bytes = number(&dir.join("memory.peak"));
            counters.memory_v2 = dir.join("memory.events").exists();
            counters.oom_kills = keyed(&dir.join("memory.events"), "oom_kill").unwrap_or(0);
        }
        if let Some(dir) = &self.memory_v1 {
            counters.memory_peak_bytes = number(&dir.join("memory.max_usage_in_bytes"));
            counters.oom_kills = keyed(&dir.join("memory.oom_control"), "oom_kill").unwrap_or(0);
        }
        counters
    }

    /// Memory in use now, bytes.
    pub(crate) fn memory_now(&self) -> Option<u64> {
        let v1 = self.memory_v1.as_ref().map(|dir| dir.join("memory.usage_in_bytes"));
        let v2 = self.unified.as_ref().map(|dir| dir.join("memory.current"));
        v1.or(v2).and_then(|path| number(&path))
    }

    /// Removes the group. Waits a little for processes that are dead but not yet gone; fails
    /// while one lives in it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut result = Ok(());
        for dir in self.folders() {
            loop {
                match fs::remove_dir(dir) {
                    Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                        if Instant::now() > deadline {
                            result = Err(error);
                            break;
                        }
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        result = Err(error);
                        break;
                    }
                    _ => break,
                }
            }
        }
        result
    }
}

/// Makes a folder; also the one above it, which another executor removes when it shuts down
/// and finds it empty.
fn make(dir: &Path) -> io::Result<()> {
    for _ in 0..3 {
        match (fs::create_dir(dir), dir.parent()) {
            (Err(error), Some(parent)) if error.kind() == ErrorKind::NotFound => {
                let _ = fs::create_dir(parent);
                super::detect::hand_down(parent);
            }
            (made, _) => return made,
        }
    }
    fs::create_dir(dir)
}

fn set(dir: &Path, file: &str, value: impl std::fmt::Display) -> bool {
    // Not created when missing: the file's absence is how a controller's absence is seen.
    let open = OpenOptions::new().write(true).open(dir.join(file));
    open.and_then(|mut f| io::Write::write_all(&mut f, value.to_string().as_bytes())).is_ok()
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn keyed(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}
