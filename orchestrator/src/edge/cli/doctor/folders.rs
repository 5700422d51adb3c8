//! The data folder: there, ours alone, and with room.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::Check;
use crate::config::DataDir;
use crate::edge::cli::output;
use crate::wiring::Layout;

/// Less room than this is a warning.
const ROOM_WANTED: u64 = 1 << 30;
/// Less room than this stops runs.
const ROOM_NEEDED: u64 = 64 << 20;

pub(super) fn checks(data: &DataDir) -> Vec<Check> {
    let root = data.root();
    if !root.exists() {
        let shown = root.display();
        let mut checks = vec![Check::ok("data folder", format!("{shown}, made by the first run"))];
        checks.extend(root.ancestors().find(|folder| folder.exists()).map(room));
        return checks;
    }
    let layout = Layout { data: root.to_path_buf() };
    let mut checks = vec![folder(root), room(root)];
    let is_key = |path: &Path| path.extension().is_some_and(|e| e == "key");
    checks.extend(private_files("signing key", &layout.keys(), is_key));
    checks.extend(private_files("secrets", &layout.secrets(), |_| true));
    checks
}

fn folder(root: &Path) -> Check {
    let shown = root.display();
    let metadata = match std::fs::metadata(root) {
        Ok(metadata) => metadata,
        Err(error) => return Check::broken("data folder", format!("{shown}: {error}")),
    };
    if !metadata.is_dir() {
        return Check::broken("data folder", format!("{shown} is not a folder"));
    }
    let ours = rustix::process::geteuid().as_raw();
    if metadata.uid() != ours && ours != 0 {
        return Check::warning("data folder", format!("{shown} belongs to another user"))
            .hint("use one data folder for each user, with `--data DIR`");
    }
    if rustix::fs::access(root, rustix::fs::Access::WRITE_OK).is_err() {
        return Check::broken("data folder", format!("{shown} cannot be written to"));
    }
    match metadata.permissions().mode() & 0o777 {
        mode if mode & 0o077 == 0 => Check::ok("data folder", shown.to_string()),
        mode => {
            Check::warning("data folder", format!("{shown} has mode {mode:o}: others may look"))
                .hint(format!("chmod 700 {shown}"))
        }
    }
}

fn room(folder: &Path) -> Check {
    match rustix::fs::statvfs(folder) {
        Err(error) => Check::warning("disk space", format!("cannot be told: {error}")),
        Ok(room) => {
            let free = room.f_bavail.saturating_mul(room.f_frsize);
            let shown = format!("{} are free", output::bytes(free));
            match free {
                0..ROOM_NEEDED => Check::broken("disk space", shown)
                    .hint("make room, or move the data folder with `--data DIR`"),
                ROOM_NEEDED..ROOM_WANTED => Check::warning("disk space", shown),
                _ => Check::ok("disk space", shown),
            }
        }
    }
}

/// Files that nobody else may read; none: there are no such files.
fn private_files(
    check: &'static str,
    folder: &Path,
    is_private: impl Fn(&Path) -> bool,
) -> Option<Check> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut files = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.is_file() || !is_private(&path) {
            continue;
        }
        files += 1;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let shown = path.display();
            let detail = format!("{shown} has mode {mode:o}: others may read it");
            return Some(Check::broken(check, detail).hint(format!("chmod 600 {shown}")));
        }
    }
    (files > 0).then(|| Check::ok(check, "readable by their owner only"))
}
