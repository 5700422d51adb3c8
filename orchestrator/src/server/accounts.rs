//! Billing that nobody asks for, while this process leads: a turn every few seconds that looks
//! only at what has changed. It opens the period behind one that has ended, lets tenants adopt
//! what was published of their cards, and closes periods when their grace is over.

use std::time::{Duration, Instant};

use dagbook_events::ports::Fence;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Standing;
use crate::app::billing::{Accounts, Turn, Turned};
use crate::app::error::AppError;
use crate::telemetry::metrics::{Metrics, OfWhat};

/// How often a turn is taken.
const EVERY: Duration = Duration::from_secs(10);
/// How long after it began to lead a process takes its first turn.
const FIRST: Duration = Duration::from_secs(1);

/// What the task works with.
pub(super) struct Accounting {
    pub(super) accounts: Accounts,
    pub(super) leads: watch::Receiver<bool>,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) metrics: Metrics,
}

impl Accounting {
    /// Takes turns while this process leads; never returns. What is under way when it leads no
    /// more is cut off, which can be done at any point.
    pub(super) async fn run(mut self) {
        loop {
            if self.leads.wait_for(|leads| *leads).await.is_err() {
                // No term follows: the process is about to end.
                return std::future::pending().await;
            }
            let mut leads = self.leads.clone();
            tokio::select! {
                _ = leads.wait_for(|leads| !*leads) => {
                    // Whoever leads next says how it stands.
                    let _ = self.metrics.billing_overdue.set(0);
                }
                () = self.turns() => {}
            }
        }
    }

    async fn turns(&self) {
        let mut turn = Turn::default();
        let mut wait = FIRST;
        loop {
            tokio::time::sleep(wait).await;
            wait = EVERY;
            let fence = match &*self.standing.borrow() {
                Standing::Leading { lease, .. } => lease.fence.clone(),
                Standing::Unknown(_) | Standing::Standby(_) => continue,
            };
            let began = Instant::now();
            let taken;
            (taken, turn) = take(turn, self.accounts.clone(), fence).await;
            self.metrics.billing_seconds.observe(began.elapsed().as_secs_f64());
            match taken {
                Ok(turned) => self.tell(&turned),
                Err(error) => {
                    self.metrics.billing_problems.inc();
                    tracing::warn!(%error, "billing could not take its turn; it tries again");
                }
            }
        }
    }

    fn tell(&self, turned: &Turned) {
        let Turned { adopted, opened, closed, overdue, problems } = turned;
        for (what, count) in [("adopted", *adopted), ("opened", *opened), ("closed", *closed)] {
            self.metrics.billing_done.get_or_create(&OfWhat { what }).inc_by(count);
        }
        self.metrics.billing_overdue.set(i64::try_from(*overdue).unwrap_or(i64::MAX));
        for problem in problems {
            self.metrics.billing_problems.inc();
            tracing::warn!(%problem, "billing met a problem; the next turn tries again");
        }
        if adopted + opened + closed > 0 {
            tracing::info!(adopted, opened, closed, "billing took its turn");
        }
    }
}

/// Takes a turn in a task of its own: one that panics is a problem, and not the end of a server.
async fn take(
    mut turn: Turn,
    accounts: Accounts,
    fence: Fence,
) -> (Result<Turned, AppError>, Turn) {
    let mut work = JoinSet::new();
    work.spawn(async move {
        let taken = turn.take(&accounts, Some(&fence)).await;
        (taken, turn)
    });
    match work.join_next().await {
        Some(Ok(done)) => done,
        Some(Err(lost)) => {
            let error = AppError::Internal(format!("a turn of billing was lost: {lost}"));
            (Err(error), Turn::default())
        }
        None => (Ok(Turned::default()), Turn::default()),
    }
}
