//! The journal of ended attempts: what the shims saw, kept when an attempt's folder goes. It lies
//! beside the folders and does not pass through the orchestrator's record, so that the two can be
//! held against each other.
//!
//! One line of JSON for each attempt, behind a first line that says since when it is kept. A line
//! is durable before the folder is removed; a crash between the two gives the same line twice.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use dagbook_events::ids::{AttemptId, Epoch, RunId, StepKey};
use dagbook_events::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::paths::AttemptDir;
use super::records::{self, Record, ShimExit};

/// An attempt as its shim saw it end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub attempt: AttemptId,
    /// Its run.
    pub run: RunId,
    /// Its step.
    pub step: StepKey,
    /// Its fencing number.
    pub epoch: Epoch,
    /// When its resources were taken.
    pub allocated: Timestamp,
    /// When they were free again.
    pub released: Timestamp,
    /// The outcome's word.
    pub outcome: String,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    since: Timestamp,
}

/// What a place knows of its attempts, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journal {
    /// Since when ends are kept; none: no attempt has ended and gone yet.
    pub since: Option<Timestamp>,
    /// Ended attempts whose folders went, which they do when the record has their ends.
    pub ended: BTreeMap<AttemptId, Ended>,
    /// Ended attempts whose folders are still there: their ends may not be recorded yet.
    pub waiting: BTreeMap<AttemptId, Ended>,
    /// Attempts with a folder and no end: they run, or are about to.
    pub running: Vec<AttemptId>,
    /// Attempts of which two different ends were written.
    pub twice: Vec<AttemptId>,
    /// Lines that cannot be read: a machine that stopped in the middle of one leaves one.
    pub unreadable: u64,
}

/// The journal of the attempts below a folder.
pub fn journal_path(root: &Path) -> PathBuf {
    root.with_extension("journal")
}

/// Who writes it for an executor. Ends that arrive while others are written are written after
/// them together, and made durable together.
#[derive(Default)]
pub(crate) struct Writer {
    /// Lines that wait, each with its answer.
    waiting: Mutex<Vec<(Vec<u8>, Answer)>>,
    /// Held by whoever writes.
    turn: Mutex<()>,
}

/// What became of a line; set once.
type Answer = Arc<OnceLock<Result<(), (io::ErrorKind, String)>>>;

impl Writer {
    /// Keeps the end of an attempt whose folder is about to go. Blocks until it is durable.
    pub(crate) fn keep(
        &self,
        root: &Path,
        dir: &AttemptDir,
        now: Timestamp,
    ) -> io::Result<Option<ShimExit>> {
        let (Some(record), Some(exit)) =
            (records::read::<Record>(&dir.record())?, records::read::<ShimExit>(&dir.exit())?)
        else {
            return Ok(None);
        };
        let mut line = serde_json::to_vec(&ended(&record, &exit)).map_err(io::Error::other)?;
        line.push(b'\n');
        self.write(root, line, now).map(|()| Some(exit))
    }

    fn write(&self, root: &Path, line: Vec<u8>, now: Timestamp) -> io::Result<()> {
        let answer = Answer::default();
        lock(&self.waiting).push((line, Arc::clone(&answer)));
        let turn = lock(&self.turn);
        // Whoever had the turn before may have written it.
        if answer.get().is_none() {
            let waiting = std::mem::take(&mut *lock(&self.waiting));
            let (lines, answers): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
            let written = append(root, &lines.concat(), now);
            let said = written.map_err(|error| (error.kind(), error.to_string()));
            for answer in answers {
                let _ = answer.set(said.clone());
            }
        }
        drop(turn);
        match answer.get() {
            Some(said) => said.clone().map_err(|(kind, what)| io::Error::new(kind, what)),
            None => Err(io::Error::other("the journal's writer went away")),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Appends whole lines and waits until they are durable.
fn append(root: &Path, text: &[u8], now: Timestamp) -> io::Result<()> {
    let path = journal_path(root);
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
    // Until it is dropped: another orchestrator may release attempts of the same place.
    file.lock()?;
    let length = file.metadata()?.len();
    let mut lines = Vec::new();
    if length == 0 {
        serde_json::to_writer(&mut lines, &Head { since: now }).map_err(io::Error::other)?;
        lines.push(b'\n');
    } else if !ends_in_a_line_feed(&mut file, length)? {
        lines.push(b'\n');
    }
    lines.extend_from_slice(text);
    file.write_all(&lines)?;
    file.sync_data()?;
    if length == 0
        && let Some(above) = path.parent()
    {
        records::sync_dir(above)?;
    }
    Ok(())
}

fn ends_in_a_line_feed(file: &mut File, length: u64) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn ended(record: &Record, exit: &ShimExit) -> Ended {
    let spec = &record.spec;
    Ended {
        attempt: spec.attempt,
        run: spec.run,
        step: spec.step.clone(),
        epoch: spec.epoch,
        allocated: exit.allocated,
        released: exit.released.max(exit.allocated),
        outcome: exit.outcome().name().to_string(),
    }
}

/// Reads what the place knows, from the journal and from the folders that are still there.
///
/// # Errors
/// Where the folders or the journal cannot be read.
pub fn read_journal(root: &Path) -> io::Result<Journal> {
    let mut journal = Journal::default();
    // The folders first: one that goes meanwhile has a line when the journal is read.
    let folders = match fs::read_dir(root) {
        Ok(_) => super::recover::list(root)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut running = Vec::new();
    for attempt in folders {
        let dir = AttemptDir::new(root, attempt);
        match (records::read::<Record>(&dir.record()), records::read::<ShimExit>(&dir.exit())) {
            (Ok(Some(record)), Ok(Some(exit))) => {
                journal.waiting.insert(attempt, ended(&record, &exit));
            }
            _ => running.push(attempt),
        }
    }
    let file = match File::open(journal_path(root)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            journal.running = running;
            return Ok(journal);
        }
        Err(error) => return Err(error),
    };
    for (number, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line?;
        if number == 0
            && let Ok(head) = serde_json::from_slice::<Head>(&line)
        {
            journal.since = Some(head.since);
            continue;
        }
        match serde_json::from_slice::<Ended>(&line) {
            Ok(ended) => journal.add(ended),
            Err(_) if line.is_empty() => {}
            Err(_) => journal.unreadable += 1,
        }
    }
    running.retain(|attempt| !journal.ended.contains_key(attempt));
    journal.running = running;
    // A machine that stopped between the line and the folder's end left both.
    for (attempt, ended) in std::mem::take(&mut journal.waiting) {
        match journal.ended.get(&attempt) {
            Some(known) if *known != ended => journal.twice.push(attempt),
            Some(_) => {}
            None => {
                journal.waiting.insert(attempt, ended);
            }
        }
    }
    Ok(journal)
}

impl Journal {
    fn add(&mut self, ended: Ended) {
        match self.ended.get(&ended.attempt) {
            Some(known) if *known != ended => self.twice.push(ended.attempt),
            Some(_) => {}
            None => {
                self.ended.insert(ended.attempt, ended);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_arrive_together_are_all_kept_whole_and_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let (root, writer) = (dir.path().join("attempts"), Writer::default());
        let write = |n: u32| writer.write(&root, format!("{n}\n").into_bytes(), Timestamp(1));
        std::thread::scope(|scope| {
            for of in 0..8 {
                scope.spawn(move || (0..20).for_each(|n| write(of * 100 + n).expect("kept")));
            }
        });
        let text = fs::read_to_string(journal_path(&root)).expect("the journal");
        let mut lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.remove(0), "{\"since\":1}");
        lines.sort_by_key(|line| line.parse::<u32>().expect("a line of ours"));
        let expected = (0..8).flat_map(|of| (0..20).map(move |n| (of * 100 + n).to_string()));
        assert!(lines.into_iter().eq(expected), "{text}");
    }

    #[test]
    fn everyone_hears_that_their_line_was_not_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("nowhere").join("attempts");
        let refused = Writer::default().write(&root, b"1\n".to_vec(), Timestamp(1));
        assert_eq!(refused.map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    }
}
