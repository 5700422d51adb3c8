//! Temporary folders of servers, with short paths, and what killed tests left behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use tempfile::TempDir;

/// What all folders begin with, before the process that made them.
const PREFIX: &str = "dagbook-server-";
/// A disk in memory.
const MEMORY: &str = "/dev/shm";
/// Bytes that must be free there for it to be used.
const ENOUGH: u64 = 4 << 30;
/// Folders of processes that are gone are removed once they are this old.
const STALE: Duration = Duration::from_secs(600);

/// A folder for one server that other users can enter: on the disk of the folder named or, by
/// default, in memory where there is room, because a thousand files are made and removed for
/// each server; else in the system's temporary folder. A killed process loses nothing that it
/// handed to the kernel on either, and benchmarks name their disk.
///
/// # Panics
/// Where it cannot be made.
pub fn new(within: Option<&Path>) -> TempDir {
    static SWEEP: Once = Once::new();
    SWEEP.call_once(|| {
        sweep(&std::env::temp_dir());
        sweep(Path::new(MEMORY));
    });
    let parent = match within {
        Some(folder) => folder.to_path_buf(),
        None if room(Path::new(MEMORY)) >= ENOUGH => MEMORY.into(),
        None => std::env::temp_dir(),
    };
    let prefix = format!("{PREFIX}{}-", std::process::id());
    let permissions = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(permissions)
        .tempdir_in(&parent)
        .unwrap_or_else(|error| panic!("no folder for a server in {}: {error}", parent.display()))
}

/// Free bytes of a folder's disk.
fn room(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |disk| disk.f_bavail * disk.f_frsize)
}

/// Removes folders of processes that no longer live. One that cannot be removed stays.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(process) = process.and_then(|text| text.parse::<u32>().ok()) else { continue };
        let age = entry.metadata().and_then(|found| found.modified());
        let old = age.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > STALE));
        if old && !Path::new(&format!("/proc/{process}")).exists() {
            super::disk::unmount_below(&entry.path());
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
