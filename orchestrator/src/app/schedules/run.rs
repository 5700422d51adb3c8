//! The one loop that fires. Every server keeps the schedules; only the one that leads acts.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::act::perform;
use super::book::{Done, Id};
use super::follow::{follow, load};
use crate::app::error::AppError;
use crate::app::services::Services;

/// How fast it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Schedules that are worked on at one time.
    pub at_once: usize,
    /// The longest that nobody looks at the clock, so that one that was set is noticed.
    pub longest_sleep: Duration,
    /// Pause after the schedules could not be read.
    pub pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            at_once: 16,
            longest_sleep: Duration::from_secs(1),
            pause: Duration::from_millis(500),
        }
    }
}

/// Fires the schedules of all tenants while `leads` says so; returns when nobody says any longer
/// whether this server leads. What was recorded and not done when it stops is done by the next.
pub async fn run(services: Services, mut leads: watch::Receiver<bool>, pace: Pace) {
    let (mut book, head) = loop {
        match load(&services).await {
            Ok(loaded) => break loaded,
            Err(error) => tracing::warn!(%error, "the schedules cannot be read"),
        }
        tokio::select! {
            () = tokio::time::sleep(pace.pause) => {}
            gone = leads.changed() => if gone.is_err() { return },
        }
    };
    let (sender, mut pages) = mpsc::channel(4);
    let mut tasks = JoinSet::new();
    tasks.spawn(follow(services.clone(), head, sender));
    let mut jobs: JoinSet<(Id, Done)> = JoinSet::new();
    loop {
        let leading = *leads.borrow_and_update();
        let now = services.clock.now();
        while leading
            && jobs.len() < pace.at_once
            && let Some((id, work)) = book.take(now)
        {
            let work =
                tokio::spawn(perform(services.clone(), book.targets.clone(), id.clone(), work));
            jobs.spawn(async move {
                work.await.unwrap_or_else(|lost| {
                    let error = AppError::Internal(format!("work for a schedule was lost: {lost}"));
                    (id, Done::Failed(error))
                })
            });
        }
        let is_full = jobs.len() >= pace.at_once;
        let wait = match book.next() {
            Some(at) if leading && !is_full => {
                Duration::from_millis(at.since(now).0).min(pace.longest_sleep)
            }
            _ => pace.longest_sleep,
        };
        tokio::select! {
            changed = leads.changed() => if changed.is_err() { return },
            page = pages.recv() => {
                let Some(page) = page else { return };
                for recorded in &page {
                    if let Err(error) = book.follow(recorded) {
                        tracing::error!(%error, "a schedule cannot be read");
                    }
                }
            }
            Some(done) = jobs.join_next() => match done {
                Ok((id, done)) => book.finish(&id, done, services.clock.now()),
                Err(error) => tracing::error!(%error, "the schedules lost a task"),
            },
            () = tokio::time::sleep(wait), if leading => {}
        }
    }
}
