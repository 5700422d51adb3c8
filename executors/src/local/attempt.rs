//! One attempt, as its executor knows it.

use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use dagbook_events::ids::{AttemptId, Epoch};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::paths::AttemptDir;
use super::records::{self, CancelRequest, Record};
use super::{process, shim};
use crate::port::{AttemptState, Handle, StartError};

/// One attempt.
pub(crate) struct Attempt {
    pub(crate) id: AttemptId,
    pub(crate) epoch: Epoch,
    pub(crate) hash: dagbook_events::digest::Sha256Digest,
    pub(crate) dir: AttemptDir,
    /// The answer to the call that started it, for everyone who calls.
    answer: watch::Sender<Option<Result<Handle, StartError>>>,
    /// Known once its folder is in place.
    pub(crate) record: OnceLock<Record>,
    inner: Mutex<Inner>,
}

struct Inner {
    state: AttemptState,
    cancel: Option<CancelRequest>,
    watcher: Option<AbortHandle>,
}

impl Attempt {
    pub(crate) fn new(
        id: AttemptId,
        epoch: Epoch,
        hash: dagbook_events::digest::Sha256Digest,
        dir: AttemptDir,
    ) -> Self {
        let state = AttemptState::Preparing;
        Self {
            id,
            epoch,
            hash,
            dir,
            answer: watch::Sender::new(None),
            record: OnceLock::new(),
            inner: Mutex::new(Inner { state, cancel: None, watcher: None }),
        }
    }

    /// One that was started before, by another executor on the same folder.
    pub(crate) fn found(record: Record, dir: AttemptDir) -> Self {
        let attempt = Self::new(record.spec.attempt, record.spec.epoch, record.hash, dir);
        attempt.answer.send_replace(Some(Ok(attempt.handle())));
        let _ = attempt.record.set(record);
        attempt
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle(format!("local:{}", self.id))
    }

    /// Gives the answer to everyone who waits for it.
    pub(crate) fn answer(&self, answer: Result<Handle, StartError>) {
        self.answer.send_replace(Some(answer));
    }

    /// Waits for the answer.
    pub(crate) async fn answered(&self) -> Result<Handle, StartError> {
        let mut receiver = self.answer.subscribe();
        let answer = receiver.wait_for(Option::is_some).await;
        let detail = "the executor went away".to_string();
        answer
            .ok()
            .and_then(|answer| answer.clone())
            .unwrap_or(Err(StartError::Ambiguous { detail }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> AttemptState {
        self.lock().state
    }

    /// Goes on to a later state; never back. Returns whether it was a step.
    pub(crate) fn advance(&self, state: AttemptState) -> bool {
        let mut inner = self.lock();
        let later = state > inner.state;
        if later {
            inner.state = state;
        }
        later
    }

    /// Asks the shim to stop, now or as soon as there is one.
    pub(crate) fn cancel(&self, request: CancelRequest) {
        let mut inner = self.lock();
        let merged = match inner.cancel.take() {
            // The first reason stands, the shorter grace counts.
            Some(first) => {
                CancelRequest { by: first.by, grace_ms: first.grace_ms.min(request.grace_ms) }
            }
            None => request,
        };
        deliver(&self.dir, &merged);
        inner.cancel = Some(merged);
    }

    /// Puts down a request that came before the folder was in place.
    pub(crate) fn deliver_early_cancel(&self) {
        if let Some(request) = &self.lock().cancel {
            deliver(&self.dir, request);
        }
    }

    pub(crate) fn set_watcher(&self, watcher: AbortHandle) {
        self.lock().watcher = Some(watcher);
    }

    pub(crate) fn stop_watching(&self) {
        if let Some(watcher) = self.lock().watcher.take() {
            watcher.abort();
        }
    }
}

/// Writes the request, then wakes the shim. The shim makes itself known first and looks for the
/// request after, so one of the two always sees the other.
pub(crate) fn deliver(dir: &AttemptDir, request: &CancelRequest) {
    match records::write(&dir.cancel(), request) {
        Ok(()) => {
            if let Some(shim) = process::lock_holder(dir) {
                shim.signal(shim::WAKE);
            }
        }
        // Not in place yet: it is looked for once it is.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::error!(dir = %dir.path().display(), %error, "a cancel cannot be delivered");
        }
    }
}
