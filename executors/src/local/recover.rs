//! Attempts of an executor that was here before.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use dagbook_events::ids::AttemptId;
use dagbook_events::time::Timestamp;
use rustix::fs::{FlockOperation, flock};

use super::finish;
use super::paths::{AttemptDir, owner};
use super::process::{self, Identity, is_alive};
use super::records::{self, Record, ShimExit};

/// What an attempt's folder says.
pub(crate) enum Remains {
    /// Nothing ran under this id, and nothing will.
    Nothing,
    /// A shim lives; the descriptor is readable when it has ended.
    Living(Box<Record>, OwnedFd),
    /// It has ended.
    Ended(Box<Record>, Box<ShimExit>),
}

/// Looks at an attempt's folder, and settles what no shim will settle. Blocks.
pub(crate) fn inspect(dir: &AttemptDir, now: Timestamp) -> io::Result<Remains> {
    let asked = Instant::now();
    let record = loop {
        match records::read::<Record>(&dir.record()) {
            Ok(Some(record)) => break Box::new(record),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return torn(dir, &error),
            Err(error) => return Err(error),
        }
        if !dir.path().exists() {
            return Ok(Remains::Nothing);
        }
        // A folder comes with its record and goes file by file: whoever gave the start up may be
        // removing it just now.
        if asked.elapsed() > REMOVAL {
            let problem = format!("{} has no attempt.json", dir.path().display());
            return Err(io::Error::other(problem));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let began = Instant::now();
    loop {
        if let Some(exit) = read_exit(dir)? {
            return Ok(Remains::Ended(record, exit));
        }
        let waited = began.elapsed();
        if !is_about_to_begin(dir, &record, waited) {
            let lock = OpenOptions::new().read(true).write(true).open(dir.lock())?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return settle(dir, record, now);
            }
            if let Some(pidfd) = process::lock_holder(dir).and_then(|shim| shim.open()) {
                return Ok(Remains::Living(record, pidfd));
            }
            if waited > PATIENCE {
                let lock = dir.lock();
                let problem = "is held by a process that does not say who it is";
                return Err(io::Error::other(format!("{} {problem}", lock.display())));
            }
        }
        // Between a shim's start and its name on the lock there is a moment in which nothing
        // can be waited on.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A record that is not whole: every process sees it whole, so the machine lost its power before
/// it was on the disk, and nothing of the attempt runs. Whether it ran is told by the recorded
/// start, and by its log, for which a new start looks.
fn torn(dir: &AttemptDir, error: &io::Error) -> io::Result<Remains> {
    match OpenOptions::new().read(true).write(true).open(dir.lock()) {
        Ok(lock) if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() => {
            // Somebody wrote into it while it ran.
            let problem = format!("{}: {error}", dir.record().display());
            return Err(io::Error::other(problem));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    tracing::warn!(dir = %dir.path().display(), %error, "an attempt's record is torn");
    remove(dir)?;
    Ok(Remains::Nothing)
}

/// The record of the end. One that is not whole was cut off by a loss of power, with the step.
fn read_exit(dir: &AttemptDir) -> io::Result<Option<Box<ShimExit>>> {
    match records::read(&dir.exit()) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        other => other,
    }
}

/// How long the removal of a folder may take.
const REMOVAL: Duration = Duration::from_secs(2);
/// How long a shim may take from its start to its name on the lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same where the process that was to start it is dead: most likely it never did, but its
/// last act may have been just that.
const PATIENCE_WITH_THE_DEAD: Duration = Duration::from_millis(250);

/// Whether nobody has taken the attempt yet and someone may still do so. The lock is left alone
/// then: a shim that finds it taken goes away.
fn is_about_to_begin(dir: &AttemptDir, record: &Record, waited: Duration) -> bool {
    let untouched = fs::metadata(dir.lock()).is_ok_and(|lock| lock.len() == 0);
    let Some(launcher) = Identity::parse(&record.launcher) else { return false };
    let this_boot = launcher.boot_id == process::boot_id();
    let patience = match launcher.open() {
        Some(_) => PATIENCE,
        None => PATIENCE_WITH_THE_DEAD,
    };
    untouched && this_boot && waited < patience
}

/// Nobody holds the attempt but us, and a shim that comes late will see that it must not begin.
fn settle(dir: &AttemptDir, record: Box<Record>, now: Timestamp) -> io::Result<Remains> {
    if let Some(exit) = read_exit(dir)? {
        return Ok(Remains::Ended(record, exit));
    }
    if fs::metadata(dir.lock())?.len() == 0 {
        // No shim was ever here: the attempt can be started as if for the first time.
        remove(dir)?;
        return Ok(Remains::Nothing);
    }
    let exit = finish::bury(dir, &record, now);
    Ok(Remains::Ended(record, Box::new(exit)))
}

/// Removes an attempt's folder. Under another name first, so that no half of it is ever found.
pub(crate) fn remove(dir: &AttemptDir) -> io::Result<()> {
    let Some(name) = dir.path().file_name().and_then(|name| name.to_str()) else { return Ok(()) };
    let gone = dir.path().with_file_name(format!("{GONE}{name}"));
    match fs::rename(dir.path(), &gone) {
        Ok(()) => remove_tree(&gone),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

const GONE: &str = ".gone-";

/// Removes a folder also where its author took his own rights to it away.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    if fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    open_up(path);
    fs::remove_dir_all(path)
}

fn open_up(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Every attempt that has a folder.
pub(crate) fn list(root: &Path) -> io::Result<Vec<AttemptId>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        if let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.push(id);
        }
    }
    Ok(found)
}

/// Removes what a crash left half made or half removed.
pub(crate) fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let abandoned = match owner(name) {
            Some(pid) => !is_alive(pid),
            None => name.starts_with(GONE),
        };
        if abandoned {
            let _ = remove_tree(&entry.path());
        }
    }
}
