//! Many callers at once, each with one request at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::ports::{AppendError, EventStore, Fence};
use tokio::task::JoinSet;

use super::ledger::{Acknowledged, Entry, Ledger};
use super::script::{Planned, Script};

/// The first pause before a request is repeated; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// A load.
#[derive(Debug, Clone)]
pub struct Load {
    /// Determines all requests.
    pub seed: u64,
    /// Callers at once.
    pub callers: u64,
    /// Number of the first caller; loads on one record must not share callers.
    pub first_caller: u64,
    /// Tenants among which requests are spread.
    pub tenants: u64,
    /// Acknowledged events in the ledger after which callers stop.
    pub events: u64,
    /// How long a request is repeated before that counts as a surprise.
    pub patience: Duration,
    /// The lease under which they act.
    pub fence: Option<Fence>,
}

impl Load {
    /// So many callers until so many events are acknowledged.
    pub fn new(seed: u64, callers: u64, events: u64) -> Self {
        Self {
            seed,
            callers,
            first_caller: 0,
            tenants: 3,
            events,
            patience: Duration::from_secs(60),
            fence: None,
        }
    }

    /// Asks until the ledger has enough or the store refuses for good; each caller goes on where
    /// the ledger says that it stands.
    pub async fn run(&self, store: Arc<dyn EventStore>, ledger: Arc<Ledger>) {
        self.run_telling(store, ledger, |_| ()).await;
    }

    /// The same, and tells each answer before it is in the ledger.
    pub async fn run_telling(
        &self,
        store: Arc<dyn EventStore>,
        ledger: Arc<Ledger>,
        tell: impl Fn(&Entry) + Clone + Send + Sync + 'static,
    ) {
        let mut callers = JoinSet::new();
        for caller in self.first_caller..self.first_caller + self.callers {
            let mut script = Script::new(self.seed, caller, self.tenants);
            script.skip_to(ledger.next(caller));
            let (store, ledger, load) = (Arc::clone(&store), Arc::clone(&ledger), self.clone());
            let tell = tell.clone();
            callers.spawn(async move {
                while ledger.events() < load.events && !ledger.is_enough() {
                    let planned = script.plan().fenced(load.fence.as_ref());
                    let Some(entry) = load.settle(store.as_ref(), &planned, &ledger).await else {
                        break;
                    };
                    tell(&entry);
                    ledger.enter(entry);
                }
            });
        }
        while let Some(done) = callers.join_next().await {
            if let Err(error) = done {
                ledger.surprise(format!("a caller failed: {error}"));
            }
        }
    }

    /// Asks until there is an answer that stays. `None`: the caller is to stop.
    async fn settle(
        &self,
        store: &dyn EventStore,
        planned: &Planned,
        ledger: &Ledger,
    ) -> Option<Entry> {
        let (caller, request) = (planned.caller, planned.request);
        let named = |text: String| format!("request {request} of caller {caller}: {text}");
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let error = match store.append(planned.append.clone()).await {
                Ok(answer) => {
                    if planned.refused {
                        ledger.surprise(named("accepted with a wrong version".to_string()));
                    }
                    if answer.last.0 + 1 - answer.first.0 != planned.events() {
                        ledger.surprise(named(format!("{answer:?} is another number of events")));
                    }
                    ledger.retried(|count| count.duplicates += u64::from(answer.duplicate));
                    return Some(Entry::Acknowledged(Acknowledged::new(planned, &answer)));
                }
                Err(AppendError::Conflict { .. }) if planned.refused => {
                    return Some(Entry::Refused { caller, request });
                }
                Err(error @ (AppendError::Halted(_) | AppendError::Fenced { .. })) => {
                    ledger.stop(error.to_string());
                    return None;
                }
                Err(AppendError::Busy { retry_after_ms }) => {
                    ledger.retried(|count| count.busy += 1);
                    pause = Duration::from_millis(retry_after_ms).min(LONGEST_PAUSE);
                    AppendError::Busy { retry_after_ms }
                }
                Err(error @ AppendError::Unknown(_)) => {
                    ledger.retried(|count| count.unknown += 1);
                    error
                }
                Err(error @ AppendError::Unavailable(_)) => {
                    ledger.retried(|count| count.unavailable += 1);
                    error
                }
                Err(error) => {
                    ledger.surprise(named(error.to_string()));
                    return None;
                }
            };
            if started.elapsed() > self.patience {
                let waited = started.elapsed();
                ledger.surprise(named(format!("no answer within {waited:?}, at last: {error}")));
                return None;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
