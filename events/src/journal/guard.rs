//! Whether a store may be added to. Whoever compares the record with its copy, or signs its
//! heads, says so here; the store asks before each append.

use tokio::sync::watch;

use crate::ports::AppendError;

/// What is known of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardState {
    /// It was not compared yet; appends are to come back later.
    Waiting(String),
    /// Nothing speaks against adding to it.
    Open,
    /// It contradicts its copy or what was signed: a person must look.
    Halted(String),
}

/// The switch that opens and halts a store.
#[derive(Debug)]
pub struct Guard(watch::Sender<GuardState>);

impl Guard {
    /// A guard that lets everything pass until it is halted.
    pub fn open() -> Self {
        Self(watch::Sender::new(GuardState::Open))
    }

    /// A guard that lets nothing pass until somebody opens it; `reason` says what is awaited.
    pub fn waiting(reason: &str) -> Self {
        Self(watch::Sender::new(GuardState::Waiting(reason.to_string())))
    }

    /// Lets appends pass, unless it was halted: that only a new process can undo.
    pub fn pass(&self) {
        self.0.send_if_modified(|state| {
            let waiting = matches!(state, GuardState::Waiting(_));
            if waiting {
                *state = GuardState::Open;
            }
            waiting
        });
    }

    /// Lets nothing pass from now on. The first reason stays.
    pub fn halt(&self, reason: &str) {
        self.0.send_if_modified(|state| {
            let first = !matches!(state, GuardState::Halted(_));
            if first {
                *state = GuardState::Halted(reason.to_string());
            }
            first
        });
    }

    /// What is known now.
    pub fn state(&self) -> GuardState {
        self.0.borrow().clone()
    }

    /// Tells each change.
    pub fn watch(&self) -> watch::Receiver<GuardState> {
        self.0.subscribe()
    }

    /// # Errors
    /// Where nothing may be appended now.
    pub fn check(&self) -> Result<(), AppendError> {
        match &*self.0.borrow() {
            GuardState::Open => Ok(()),
            GuardState::Waiting(reason) => Err(AppendError::Unavailable(reason.clone())),
            GuardState::Halted(reason) => Err(AppendError::Halted(reason.clone())),
        }
    }
}
