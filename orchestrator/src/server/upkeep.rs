//! Letting go of what retention lets go, while this process leads: a bounded turn at a time, with
//! pauses between turns that differ from server to server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::ports::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::error::AppError;
use crate::app::retention::{Keeping, Swept, Turn};
use crate::config::Config;
use crate::telemetry::metrics::{Metrics, OfWhat};
use crate::wiring::Installation;

/// How long after it began to lead a process takes its first turn, at most.
const FIRST: Duration = Duration::from_secs(60);
/// Where a turn left work behind, the next one comes after this part of the usual pause.
const SOONER: u32 = 20;
/// The shortest pause.
const SHORTEST: Duration = Duration::from_millis(200);

/// What upkeep works with.
pub(super) struct Upkeep {
    pub(super) installation: Arc<Installation>,
    pub(super) config: Config,
    pub(super) leads: watch::Receiver<bool>,
    pub(super) metrics: Metrics,
}

impl Upkeep {
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
                _ = leads.wait_for(|leads| !*leads) => {}
                () = self.turns() => {}
            }
        }
    }

    async fn turns(&self) {
        let every = self.config.retention_every;
        let mut wait = every.min(FIRST);
        let mut turn = Turn::default();
        loop {
            tokio::time::sleep(spread(wait, self.installation.deps.rng.as_ref())).await;
            let began = Instant::now();
            let taken = match self.keeping() {
                Ok(keeping) => {
                    let taken;
                    (taken, turn) = take(turn, keeping).await;
                    taken
                }
                Err(error) => Err(error),
            };
            self.metrics.retention_seconds.observe(began.elapsed().as_secs_f64());
            wait = match taken {
                Ok(swept) => {
                    self.tell(&swept, began.elapsed());
                    let goes_on = swept.has_more && swept.problems.is_empty();
                    if goes_on { (every / SOONER).max(SHORTEST) } else { every }
                }
                Err(error) => {
                    self.metrics.retention_problems.inc();
                    tracing::warn!(%error, "retention could not take its turn; it tries again");
                    every
                }
            };
        }
    }

    /// Made anew for each turn: the site's key and its tiles may have come since.
    fn keeping(&self) -> Result<Keeping, AppError> {
        let keeping = self.installation.keeping(&self.config);
        keeping.map_err(|error| AppError::Internal(error.to_string()))
    }

    fn tell(&self, swept: &Swept, took: Duration) {
        for (what, count) in [
            ("logs", swept.logs),
            ("blobs", swept.blobs),
            ("cache", swept.cache),
            ("keys", swept.keys),
            ("shelf", swept.shelf),
            ("events", swept.events),
        ] {
            self.metrics.retention_gone.get_or_create(&OfWhat { what }).inc_by(count);
        }
        for problem in &swept.problems {
            self.metrics.retention_problems.inc();
            tracing::warn!(%problem, "retention met a problem; the next turn tries again");
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let Swept { logs, blobs, cache, keys, shelf, events, .. } = *swept;
        let (bytes, waits) = (swept.logs_bytes + swept.blobs_bytes, swept.events_wait.as_deref());
        match logs + blobs + cache + events {
            0 => tracing::debug!(keys, shelf, took_ms, waits, "retention took its turn"),
            _ => tracing::info!(
                logs,
                blobs,
                bytes,
                cache,
                keys,
                shelf,
                events,
                took_ms,
                waits,
                "retention let go"
            ),
        }
    }
}

/// Takes a turn in a task of its own: one that panics is a problem, and not the end of a server.
async fn take(mut turn: Turn, keeping: Keeping) -> (Result<Swept, AppError>, Turn) {
    let mut work = JoinSet::new();
    work.spawn(async move {
        let taken = turn.take(&keeping, false).await;
        (taken, turn)
    });
    match work.join_next().await {
        Some(Ok(done)) => done,
        Some(Err(lost)) => {
            let error = AppError::Internal(format!("a turn of retention was lost: {lost}"));
            (Err(error), Turn::default())
        }
        None => (Ok(Swept::default()), Turn::default()),
    }
}

/// Between three and five quarters of a pause, so that servers of many sites do not act at once.
fn spread(pause: Duration, rng: &dyn Rng) -> Duration {
    let part = u32::from(rng.bytes()[0]);
    pause * 3 / 4 + pause / 2 * part / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_around_the_one_that_was_asked_for() {
        let rng = dagbook_events::journal::clock::SystemRng;
        let pause = Duration::from_secs(600);
        let all: Vec<Duration> = (0..200).map(|_| spread(pause, &rng)).collect();
        let bounds = Duration::from_secs(450)..=Duration::from_secs(750);
        assert!(all.iter().all(|it| bounds.contains(it)), "{all:?}");
        assert!(all.iter().any(|it| *it < pause) && all.iter().any(|it| *it > pause));
    }
}
