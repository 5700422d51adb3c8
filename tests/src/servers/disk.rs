//! A disk so small that it gets full.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::folder;

/// Where it is mounted in its folder.
const MOUNT: &str = "disk";
/// The file that takes its room.
const BALLAST: &str = "ballast";

/// A disk in memory of a fixed size, mounted for as long as this value lives.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many MiB. `None`, with a message, where this machine does not let us.
    pub fn mount(mebibytes: u32) -> Option<Self> {
        let folder = folder::new(None);
        let target = folder.path().join(MOUNT);
        std::fs::create_dir(&target).expect("a folder to mount on");
        let size = format!("size={mebibytes}m,mode=755");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "dagbook-test"]).arg(&target);
        match command.stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => Some(Self { folder }),
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr).trim().to_string();
                eprintln!("SKIPPED: no disk can be mounted here, so none gets full: {reason}");
                None
            }
            Err(error) => {
                eprintln!("SKIPPED: no disk can be mounted here, so none gets full: {error}");
                None
            }
        }
    }

    /// Its folder.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(MOUNT)
    }

    /// Takes all its room but so many KiB.
    ///
    /// # Panics
    /// Where the file cannot be written.
    pub fn fill_but(&self, kibibytes: u64) {
        let disk = rustix::fs::statvfs(self.path()).expect("the disk");
        let free = disk.f_bavail * disk.f_frsize;
        let size = free.saturating_sub(kibibytes * 1024);
        let zeros = vec![0; usize::try_from(size).expect("a small disk")];
        std::fs::write(self.path().join(BALLAST), zeros).expect("the ballast");
    }

    /// Gives the room back.
    ///
    /// # Panics
    /// Where it was not taken.
    pub fn relieve(&self) {
        std::fs::remove_file(self.path().join(BALLAST)).expect("the ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount_below(self.folder.path());
    }
}

/// Unmounts what a folder of ours has mounted, if anything.
pub(super) fn unmount_below(folder: &Path) {
    let target = folder.join(MOUNT);
    if target.is_dir() {
        let mut command = Command::new("umount");
        command.arg("--lazy").arg(&target);
        let _ = command.stdin(Stdio::null()).stderr(Stdio::null()).status();
    }
}
