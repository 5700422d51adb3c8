//! Term after term: waits until this process leads, leads, lets go of everything, and waits again.

use std::sync::Arc;
use std::time::Duration;

use dagbook_executors::Registry;
use tokio::sync::watch;

use super::lease::{Holder, Standing};
use super::orphans;
use super::supervision::Supervisor;
use super::term::{self, TermBoard, TermEnd};
use crate::app::directory::Directory;
use crate::app::{budgets, quotas};
use crate::runtime::{self, Deps, Life};
use crate::telemetry::Telemetry;
use crate::wiring::Installation;

/// How often a place that does not lead looks for what it still runs.
const SWEEP: Duration = Duration::from_secs(5);
/// How long an executor may take to let go.
const LETTING_GO: Duration = Duration::from_secs(3);
/// How long an executor that cannot be made is left alone.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Terms {
    pub(super) installation: Arc<Installation>,
    pub(super) directory: Directory,
    pub(super) slots: Option<u32>,
    pub(super) holder: Holder,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) ended: watch::Sender<u64>,
    pub(super) board: TermBoard,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) supervisor: Supervisor,
    pub(super) telemetry: Telemetry,
}

impl Terms {
    pub(super) async fn run(mut self) {
        // Whoever could say so may be gone.
        while !*self.stopping.borrow() && self.stopping.has_changed().is_ok() {
            let standing = self.standing.borrow_and_update().clone();
            match standing {
                Standing::Leading { lease, life } if !life.is_over() => {
                    let epoch = lease.fence.epoch;
                    let end = self.lead(lease.fence, life).await;
                    self.ended.send_replace(epoch);
                    match end {
                        TermEnd::Stopped => return,
                        TermEnd::Lost(why) => tracing::warn!(%why, "this process leads no more"),
                        TermEnd::Died(what) => {
                            return self.supervisor.fail(format!("the engine died: {what}"));
                        }
                    }
                }
                Standing::Leading { lease, .. } => {
                    self.ended.send_replace(lease.fence.epoch);
                    self.wait(None).await;
                }
                Standing::Standby(lease) => {
                    let elsewhere = Holder::parse(&lease.holder)
                        .is_some_and(|leader| leader.place != self.holder.place);
                    if elsewhere {
                        self.sweep().await;
                    }
                    self.wait(elsewhere.then_some(SWEEP)).await;
                }
                Standing::Unknown(_) => self.wait(None).await,
            }
        }
    }

    /// Waits for news of the lease, or for so long.
    async fn wait(&mut self, at_most: Option<Duration>) {
        let pause = async {
            match at_most {
                Some(at_most) => tokio::time::sleep(at_most).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.standing.changed() => if changed.is_err() {
                self.supervisor.fail("the thread that keeps the lease died".to_string());
                // Nothing more will be told.
                std::future::pending().await
            },
            _ = self.stopping.changed() => {}
            () = pause => {}
        }
    }

    async fn lead(&self, fence: dagbook_events::ports::Fence, life: Life) -> TermEnd {
        let deps = loop {
            match self.deps().await {
                Ok(deps) => break deps,
                Err(error) => tracing::error!(%error, "steps cannot be run; trying again"),
            }
            let mut stopping = self.stopping.clone();
            tokio::select! {
                why = life.over() => return TermEnd::Lost(why),
                () = term::asked_to_stop(&mut stopping) => return TermEnd::Stopped,
                () = tokio::time::sleep(PAUSE) => {}
            }
        };
        let start = |deps| {
            let runtime = runtime::start(deps);
            // Before anything is taken over, for then it is decided on them.
            quotas::tell_all(&self.directory, &runtime);
            budgets::tell_all(&self.directory, &runtime);
            runtime
        };
        let stopping = self.stopping.clone();
        let (board, telemetry) = (&self.board, &self.telemetry);
        let end = term::serve(deps.clone(), fence, life, board, stopping, telemetry, start).await;
        let_go(&deps.executors).await;
        end
    }

    /// The ports, with executors of their own for this term.
    async fn deps(&self) -> Result<Deps, crate::wiring::OpenError> {
        let mut deps = self.installation.deps.clone();
        deps.ownership = Arc::new(crate::runtime::NoOwnership);
        let local = self.installation.executors(self.slots).await?;
        (deps.executors, deps.slots, deps.places) = local;
        Ok(deps)
    }

    /// Another place leads: what runs here for the site is ended.
    async fn sweep(&self) {
        if !has_attempts(&self.installation) {
            return;
        }
        match self.deps().await {
            Ok(deps) => {
                let ended = orphans::of_a_place_that_does_not_lead(&deps).await;
                if ended > 0 {
                    tracing::warn!(ended, "another place leads: attempts of this one were ended");
                }
                let_go(&deps.executors).await;
            }
            Err(error) => tracing::warn!(%error, "attempts of this place cannot be looked at"),
        }
    }
}

/// Whether anything was left here.
fn has_attempts(installation: &Installation) -> bool {
    let entries = std::fs::read_dir(installation.data.join("attempts"));
    entries.is_ok_and(|mut entries| entries.next().is_some())
}

/// What runs goes on; nothing more is started.
async fn let_go(executors: &Registry) {
    for (name, executor) in executors.iter() {
        if tokio::time::timeout(LETTING_GO, executor.shutdown()).await.is_err() {
            tracing::warn!(executor = name, "an executor did not let go in time");
        }
    }
}
