//! The way in for everyone outside the driver.

use dagbook_events::ids::RunId;
use dagbook_events::run::event::Submitted;
use dagbook_events::run::{Ask, RunEvent, RunFact};
use tokio::sync::{mpsc, oneshot};

use super::wake::Wake;
use crate::engine::Refusal;

/// What became durable, or what stands in the way of it.
#[derive(Debug, Clone)]
pub enum Watch {
    /// Facts of a run.
    Recorded {
        /// The run.
        run: RunId,
        /// Version of the first of the facts.
        from: u64,
        /// The facts.
        facts: Vec<RunFact>,
    },
    /// The store does not answer; it is asked again.
    StoreTrouble {
        /// What it said.
        reason: String,
        /// How many times it was asked.
        tries: u32,
    },
}

/// Why something that was asked did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    /// The rules, or the record, refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The record cannot be read.
    #[error("the record cannot be read: {0}")]
    Unreadable(String),
    /// Another process has the run.
    #[error("run {0} is being driven by another process")]
    Elsewhere(RunId),
    /// The runtime has stopped.
    #[error("the orchestrator has stopped")]
    Stopped,
}

/// A running orchestrator.
#[derive(Clone)]
pub struct Runtime {
    pub(super) wakes: mpsc::UnboundedSender<Wake>,
}

impl Runtime {
    /// Accepts a run; returns when it is durable.
    pub async fn submit(&self, submitted: Submitted) -> Result<(), AskError> {
        let run = submitted.run;
        self.ask(run, Ask::Submit(Box::new(submitted))).await
    }

    /// Asks something of a run that this process owns; returns when it is durable.
    pub async fn ask(&self, run: RunId, ask: Ask) -> Result<(), AskError> {
        let (reply, answer) = oneshot::channel();
        self.send(Wake::Ask { run, ask, reply: Some(reply) })?;
        answer.await.map_err(|_| AskError::Stopped)?
    }

    /// Takes over an unfinished run from the record.
    pub async fn adopt(&self, run: RunId) -> Result<(), AskError> {
        let (reply, answer) = oneshot::channel();
        self.send(Wake::Adopt { run, reply })?;
        answer.await.map_err(|_| AskError::Stopped)?
    }

    /// What becomes durable from now on.
    pub fn watch(&self) -> mpsc::UnboundedReceiver<Watch> {
        let (sender, receiver) = mpsc::unbounded_channel();
        // When the driver is gone the receiver ends at once, which says it.
        let _ = self.wakes.send(Wake::Watch { sender });
        receiver
    }

    /// Stops the loop once nothing is on its way to the store. Attempts go on.
    pub async fn shutdown(&self) {
        let (done, stopped) = oneshot::channel();
        if self.wakes.send(Wake::Shutdown { done }).is_ok() {
            let _ = stopped.await;
        }
    }

    fn send(&self, wake: Wake) -> Result<(), AskError> {
        self.wakes.send(wake).map_err(|_| AskError::Stopped)
    }
}

impl Watch {
    /// Whether it says that the run ended.
    pub fn ends(&self, wanted: RunId) -> bool {
        match self {
            Self::Recorded { run, facts, .. } => {
                *run == wanted && facts.iter().any(|f| matches!(f.event, RunEvent::Finished(_)))
            }
            Self::StoreTrouble { .. } => false,
        }
    }
}
