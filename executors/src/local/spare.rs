//! Folders of attempts that were let go, kept for those that come.
//!
//! A file system that has just removed files looks at each of them when it makes new ones: on
//! ext4 an attempt's folder, made and removed like many before it, costs more than a millisecond,
//! most of it for its three directories. So what is empty anyway stays: the folder, its
//! `artifacts` and `scratch`, and `output`. Nothing of an attempt is in them, and nothing of it
//! may still hold them open: only what was contained in control groups, all of which ended, leaves
//! its folder behind.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dagbook_events::step::UsageSource;

use super::paths::{AttemptDir, SPARE};
use super::records::ShimExit;
use super::recover;

/// Folders that are kept at most.
const MOST: usize = 64;

/// Tells the folders of this process apart, whichever executor keeps them.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Empty folders of one executor below its root.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    folders: Mutex<Vec<PathBuf>>,
}

impl Spares {
    fn folders(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a folder the name of one that is prepared. False where there is none.
    pub(crate) fn take(&self, draft: &AttemptDir) -> bool {
        let spare = self.folders().pop();
        spare.is_some_and(|spare| fs::rename(spare, draft.path()).is_ok())
    }

    /// Removes the folder of an attempt that ended so, or keeps what is empty of it.
    pub(crate) fn give(&self, dir: &AttemptDir, exit: Option<&ShimExit>) -> io::Result<()> {
        if !exit.is_some_and(was_contained) || self.folders().len() >= MOST {
            return recover::remove(dir);
        }
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{SPARE}{number}-{}", std::process::id());
        // Under a name that no other process clears away while this one lives.
        let spare = dir.path().with_file_name(name);
        match fs::rename(dir.path(), &spare) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        match empty(&spare) {
            Ok(true) => {
                self.folders().push(spare);
                Ok(())
            }
            _ => recover::remove_tree(&spare),
        }
    }

    /// Removes all of them.
    pub(crate) fn clear(&self) {
        for spare in std::mem::take(&mut *self.folders()) {
            let _ = recover::remove_tree(&spare);
        }
    }
}

/// Whether all that ran under an attempt is known to be gone.
fn was_contained(exit: &ShimExit) -> bool {
    let groups = [UsageSource::Cgroup2, UsageSource::Hybrid, UsageSource::Cgroup1];
    let is_grouped = groups.contains(&exit.figures.source);
    is_grouped && exit.lost.is_none() && exit.unkillable == 0 && exit.leftovers == 0
}

/// Removes all but what is kept. False where one of those was changed.
fn empty(folder: &Path) -> io::Result<bool> {
    let mut kept = 0;
    for entry in fs::read_dir(folder)? {
        let (entry, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
        let seen = fs::symlink_metadata(&path)?;
        match entry.to_str() {
            Some("artifacts" | "scratch") if is_ours(&seen, 0o700) && seen.is_dir() => {
                if fs::read_dir(&path)?.next().is_some() {
                    return Ok(false);
                }
                kept += 1;
            }
            Some("output") if is_ours(&seen, 0o600) && seen.is_file() => {
                if seen.len() > 0 || seen.nlink() > 1 {
                    return Ok(false);
                }
                kept += 1;
            }
            _ if seen.is_dir() => recover::remove_tree(&path)?,
            _ => fs::remove_file(&path)?,
        }
    }
    Ok(kept == 3 && is_ours(&fs::symlink_metadata(folder)?, 0o700))
}

/// Whether it belongs to this user and has the rights that it was made with.
fn is_ours(seen: &Metadata, mode: u32) -> bool {
    seen.uid() == rustix::process::geteuid().as_raw() && seen.permissions().mode() & 0o7777 == mode
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::DirBuilderExt as _;

    use dagbook_events::ids::AttemptId;
    use dagbook_events::time::Timestamp;

    use super::*;
    use crate::local::records;

    fn exit(source: UsageSource) -> ShimExit {
        let mut exit = ShimExit::unseen(Timestamp(0), Timestamp(1));
        exit.figures.source = source;
        exit
    }

    /// A folder as an attempt leaves it.
    fn ended(root: &Path, number: u128) -> AttemptDir {
        let id = AttemptId(uuid::Uuid::from_u128(number));
        let dir = AttemptDir::new(root, id);
        for path in [dir.path().to_path_buf(), dir.artifacts(), dir.scratch()] {
            fs::DirBuilder::new().mode(0o700).create(path).expect("a folder");
        }
        for path in [dir.output(), dir.lock(), dir.script(), dir.record(), dir.exit()] {
            records::create(&path).expect("a file");
        }
        dir
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_empty_folder_is_taken_again_and_nothing_of_the_attempt_is_in_it() {
        let root = tempfile::tempdir().expect("a folder");
        let spares = Spares::default();
        let dir = ended(root.path(), 1);
        spares.give(&dir, Some(&exit(UsageSource::Cgroup2))).expect("given");
        assert!(!dir.path().exists());
        let draft = AttemptDir::preparing(root.path(), AttemptId(uuid::Uuid::from_u128(2)));
        assert!(spares.take(&draft) && !spares.take(&draft));
        assert_eq!(names(draft.path()), ["artifacts", "output", "scratch"]);
        assert_eq!(names(root.path()).len(), 1);
    }

    #[test]
    fn a_folder_with_something_of_its_attempt_is_removed() {
        type Change = fn(&AttemptDir);
        let changes: [Change; 6] = [
            |dir| fs::write(dir.output(), "x").expect("written"),
            |dir| fs::write(dir.scratch().join("x"), "x").expect("written"),
            |dir| fs::write(dir.artifacts().join("x"), "x").expect("written"),
            |dir| {
                let mode = fs::Permissions::from_mode(0o777);
                fs::set_permissions(dir.scratch(), mode).expect("changed");
            },
            |dir| fs::hard_link(dir.output(), dir.path().join("other")).expect("linked"),
            |dir| {
                fs::remove_dir(dir.scratch()).expect("removed");
                std::os::unix::fs::symlink("/", dir.scratch()).expect("linked");
            },
        ];
        for (number, change) in (1..).zip(changes) {
            let root = tempfile::tempdir().expect("a folder");
            let spares = Spares::default();
            let dir = ended(root.path(), number);
            change(&dir);
            spares.give(&dir, Some(&exit(UsageSource::Cgroup2))).expect("removed");
            assert_eq!(names(root.path()), [""; 0], "change {number}");
            assert!(spares.folders().is_empty(), "change {number}");
        }
    }

    #[test]
    fn a_folder_that_something_may_still_hold_open_is_removed() {
        let exits = [
            None,
            Some(exit(UsageSource::Rusage)),
            Some(ShimExit { leftovers: 1, ..exit(UsageSource::Cgroup2) }),
            Some(ShimExit { unkillable: 1, ..exit(UsageSource::Cgroup2) }),
        ];
        for (number, exit) in (1..).zip(exits) {
            let root = tempfile::tempdir().expect("a folder");
            let spares = Spares::default();
            spares.give(&ended(root.path(), number), exit.as_ref()).expect("removed");
            assert_eq!(names(root.path()), [""; 0], "exit {number}");
            assert!(spares.folders().is_empty(), "exit {number}");
        }
    }

    #[test]
    fn no_more_than_some_are_kept_and_all_go_at_the_end() {
        let root = tempfile::tempdir().expect("a folder");
        let spares = Spares::default();
        for number in 0..MOST as u128 + 5 {
            let dir = ended(root.path(), number + 1);
            spares.give(&dir, Some(&exit(UsageSource::Hybrid))).expect("given");
        }
        assert_eq!(names(root.path()).len(), MOST);
        spares.clear();
        assert_eq!(names(root.path()), [""; 0]);
    }
}
