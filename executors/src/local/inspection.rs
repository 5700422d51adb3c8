//! Looking at what is left of an attempt from outside: for `doctor`, and for tests that must
//! not believe the executor's own word.

use std::path::{Path, PathBuf};

use dagbook_events::ids::AttemptId;
use rustix::process::Signal;

use super::paths::AttemptDir;
use super::{environment, process};

/// Living processes that carry the attempt's mark in their environment.
pub fn processes(attempt: AttemptId) -> Vec<u32> {
    process::marked(&environment::marker(attempt))
}

/// The living shim of an attempt.
pub fn supervisor(root: &Path, attempt: AttemptId) -> Option<u32> {
    let holder = process::lock_holder(&AttemptDir::new(root, attempt))?;
    holder.open().map(|_| holder.pid)
}

/// Sends a signal to a process by its number.
pub fn kill(pid: u32, signal: Signal) {
    process::kill(pid, signal);
}

/// Everything of an attempt that is still there but its log: folders, control groups,
/// processes.
pub fn remains(root: &Path, attempt: AttemptId) -> Vec<String> {
    let name = attempt.to_string();
    let mut found: Vec<String> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains(&name))
        .map(|entry| format!("folder {}", entry.path().display()))
        .collect();
    for dir in groups(&name) {
        found.push(format!("control group {}", dir.display()));
    }
    for pid in processes(attempt) {
        found.push(format!("process {pid}"));
    }
    found
}

fn groups(name: &str) -> Vec<PathBuf> {
    let leaf = super::cgroup::Trees::detect().leaf(name);
    leaf.folders().filter(|dir| dir.exists()).cloned().collect()
}
