//! A place for notes in memory, which keeps as little as a real one may.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ports::{Board, CopyError, Notes, PostedNote};
use crate::tlog::Note;

/// Keeps the newest note of each log (and witness) in memory; clones are handles of the same
/// place.
#[derive(Default)]
pub struct MemoryNotes {
    shared: Arc<Shared>,
    /// How often the boards had lost notes when this handle read them.
    read: Mutex<BTreeMap<Board, u64>>,
}

impl Clone for MemoryNotes {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), read: Mutex::default() }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    notes: Vec<Kept>,
    last: u64,
    losses: u64,
    silent: bool,
}

struct Kept {
    board: Board,
    by: String,
    note: PostedNote,
}

impl MemoryNotes {
    /// An empty place.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes silent, or comes back.
    pub fn set_available(&self, available: bool) {
        self.lock().silent = !available;
        self.shared.changes.send_modify(|changes| *changes += 1);
    }

    /// Loses the notes behind a number, and gives their numbers again; with 0 as one that was
    /// deleted and made anew.
    pub fn lose_tail(&self, keep: u64) {
        {
            let mut state = self.lock();
            state.notes.retain(|kept| kept.note.number <= keep);
            state.last = state.last.min(keep);
            state.losses += 1;
        }
        self.shared.changes.send_modify(|changes| *changes += 1);
    }

    /// Whether numbers up to `seen` may have been given again since this handle read last.
    fn in_step(&self, state: &State, board: Board, seen: u64) -> Result<(), CopyError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let before = read.insert(board, state.losses);
        let lost = before.is_some_and(|losses| losses != state.losses);
        match seen > 0 && (lost || state.last < seen) {
            true => Err(CopyError::OutOfStep(format!("the board has lost notes up to {seen}"))),
            false => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> Result<MutexGuard<'_, State>, CopyError> {
        let state = self.lock();
        match state.silent {
            true => Err(CopyError::Unavailable("nobody answers".to_string())),
            false => Ok(state),
        }
    }
}

#[async_trait]
impl Notes for MemoryNotes {
    async fn post(
        &self,
        board: Board,
        origin: &str,
        by: &str,
        note: &Note,
    ) -> Result<(), CopyError> {
        {
            let mut state = self.ready()?;
            state.last += 1;
            let number = state.last;
            state.notes.retain(|kept| {
                let same_log = kept.board == board && kept.note.origin == origin;
                !(same_log && (board == Board::Signed || kept.by == by))
            });
            let note = PostedNote { number, origin: origin.to_string(), note: note.clone() };
            state.notes.push(Kept { board, by: by.to_string(), note });
        }
        self.shared.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }

    async fn after(
        &self,
        board: Board,
        seen: u64,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<PostedNote>, CopyError> {
        let deadline = Instant::now() + wait;
        let mut changes = self.shared.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let page: Vec<_> = {
                let state = self.ready()?;
                self.in_step(&state, board, seen)?;
                let news = state.notes.iter().filter(|k| k.board == board && k.note.number > seen);
                news.take(limit).map(|kept| kept.note.clone()).collect()
            };
            let waited = page.is_empty() && limit > 0;
            if !waited || tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                return Ok(page);
            }
        }
    }
}
