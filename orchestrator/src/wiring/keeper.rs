//! What keeps the second copy, the signed heads and the tiles up to date while this process
//! appends, or on behalf of others that do.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::Position;
use dagbook_events::journal::checkpoints::{
    Checkpoints, Publisher, PublisherOptions, PublisherParts, Turn,
};
use dagbook_events::journal::relay::{Relay, RelayLimits, RelayStatus};
use dagbook_events::journal::{Guard, GuardState};
use dagbook_events::ports::{EventStore, Objects};
use dagbook_events::tlog::VerifierKey;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::Jet;

/// How long the tasks may take to end once they were told to.
const ENDING: Duration = Duration::from_secs(20);

/// What a keeper works with.
pub(super) struct KeeperParts {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) guard: Arc<Guard>,
    pub(super) jet: Option<Jet>,
    pub(super) objects: Option<Arc<dyn Objects>>,
    pub(super) checkpoints: Checkpoints,
    pub(super) witnesses: Vec<VerifierKey>,
}

/// Why the copy is not where it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeeperError {
    /// Record and copy, or record and signed heads, contradict each other.
    #[error("the record is halted: {0}")]
    Halted(String),
    /// It took too long.
    #[error("{what} within {}: {reason}", span(.waited))]
    TooSlow {
        /// What did not come about.
        what: &'static str,
        /// How long it was waited for.
        waited: Duration,
        /// What was last heard.
        reason: String,
    },
    /// It cannot be set up.
    #[error("the keeper cannot start: {0}")]
    Setup(String),
}

fn span(waited: &Duration) -> String {
    let millis = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    dagbook_events::time::Millis(millis).to_string()
}

/// How the copy and the signed heads stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperStatus {
    /// Whether the record may be added to.
    pub guard: GuardState,
    /// The relay, where there is a bus.
    pub relay: Option<RelayStatus>,
    /// The last turn of signing and publishing.
    pub turn: Turn,
}

/// The running tasks. They end when this is dropped; [`Keeper::stop`] lets them finish.
pub struct Keeper {
    stop: watch::Sender<bool>,
    guard: Arc<Guard>,
    relay: Option<watch::Receiver<RelayStatus>>,
    turns: watch::Receiver<Turn>,
    tasks: Vec<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(parts: KeeperParts) -> Result<Self, KeeperError> {
        let KeeperParts { store, guard, jet, objects, checkpoints, witnesses } = parts;
        let (stop, stopping) = watch::channel(false);
        let mut tasks = Vec::new();
        let relay = jet.as_ref().map(|jet| {
            let (store, guard) = (store.clone(), guard.clone());
            let relay = Relay::new(store, jet.record_copy(), guard, RelayLimits::default());
            let relay = relay.waking(jet.bus.clone());
            let status = relay.status();
            tasks.push(tokio::spawn(relay.run(stopping.clone())));
            status
        });
        let notes = jet.map(|jet| jet.notes);
        let parts = PublisherParts { store, checkpoints, objects, notes, guard: guard.clone() };
        let options = PublisherOptions { witnesses, ..PublisherOptions::default() };
        let mut publisher = Publisher::new(parts, options)
            .map_err(|error| KeeperError::Setup(error.to_string()))?;
        let turns = publisher.turns();
        let halted = guard.clone();
        tasks.push(tokio::spawn(async move {
            if let Err(error) = publisher.run(stopping).await {
                halted.halt(&error.to_string());
            }
        }));
        Ok(Self { stop, guard, relay, turns, tasks })
    }

    /// How things stand now.
    pub fn status(&self) -> KeeperStatus {
        KeeperStatus {
            guard: self.guard.state(),
            relay: self.relay.as_ref().map(|relay| relay.borrow().clone()),
            turn: self.turns.borrow().clone(),
        }
    }

    /// Returns when something has changed. Also after a while in which nothing did.
    pub async fn changed(&mut self, at_most: Duration) {
        let mut guard = self.guard.watch();
        guard.mark_unchanged();
        let relay = self.relay.as_mut();
        let relay_changed = async {
            let Some(relay) = relay else { return std::future::pending().await };
            // Its sender is gone when the task has ended; then nothing more changes.
            if relay.changed().await.is_err() {
                std::future::pending().await
            }
        };
        tokio::select! {
            _ = guard.changed() => {}
            () = relay_changed => {}
            Ok(()) = self.turns.changed() => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }

    /// Waits for the first comparison of the record with its copy.
    pub async fn first_look(&self, within: Duration) -> Result<(), KeeperError> {
        let mut guard = self.guard.watch();
        let looked = guard.wait_for(|state| !matches!(state, GuardState::Waiting(_)));
        // Kept apart from the answer, which borrows the state.
        let in_time = tokio::time::timeout(within, looked).await.is_ok();
        match self.guard.state() {
            GuardState::Halted(reason) => Err(KeeperError::Halted(reason)),
            GuardState::Open if in_time => Ok(()),
            GuardState::Open | GuardState::Waiting(_) => Err(KeeperError::TooSlow {
                what: "the record could not be compared with its copy",
                waited: within,
                reason: self.trouble(),
            }),
        }
    }

    /// Waits until the copy has everything up to a position, and a head over it is signed and
    /// published.
    pub async fn caught_up(&self, head: Position, within: Duration) -> Result<(), KeeperError> {
        let deadline = Instant::now() + within;
        let late = |what| KeeperError::TooSlow { what, waited: within, reason: self.trouble() };
        if let Some(relay) = &self.relay {
            let mut relay = relay.clone();
            let copied = relay.wait_for(|status| status.copied >= head);
            if !matches!(timeout_at(deadline, copied).await, Ok(Ok(_))) {
                return Err(self.halted().unwrap_or_else(|| late("the copy did not catch up")));
            }
        }
        let mut turns = self.turns.clone();
        let signed = turns.wait_for(|turn| turn.head >= head && turn.problems.is_empty());
        if !matches!(timeout_at(deadline, signed).await, Ok(Ok(_))) {
            return Err(self.halted().unwrap_or_else(|| late("no checkpoint was published")));
        }
        Ok(())
    }

    /// Lets the tasks finish what they are at, with a last checkpoint.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let deadline = Instant::now() + ENDING;
        for task in &mut self.tasks {
            // A task that does not end in time is ended when this is dropped.
            let _ = timeout_at(deadline, task).await;
        }
    }

    fn halted(&self) -> Option<KeeperError> {
        match self.guard.state() {
            GuardState::Halted(reason) => Some(KeeperError::Halted(reason)),
            _ => None,
        }
    }

    /// What was last heard of what does not work.
    fn trouble(&self) -> String {
        let relay = self.relay.as_ref().and_then(|relay| relay.borrow().last_error.clone());
        let turn = || self.turns.borrow().problems.first().cloned();
        relay.or_else(turn).unwrap_or_else(|| "it goes on, but slowly".to_string())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
