//! Attempts of the record with what the executor of a place kept of them, one to one.

use std::collections::{BTreeMap, BTreeSet};

use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{AttemptId, Position};
use dagbook_events::ports::{EventStore, ReadError, Recorded};
use dagbook_events::reconciliation::{Comparison, Discrepancy, ReconciliationReported};
use dagbook_events::time::Timestamp;
use serde::Deserialize;

use crate::app::error::AppError;

/// Events read at a time.
const PAGE: usize = 2_000;
/// Findings that are kept.
const MOST: usize = 1_000;

/// An attempt as the executor saw it end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// When its resources were taken.
    pub allocated: Timestamp,
    /// When they were free again.
    pub released: Timestamp,
}

/// What an executor kept of its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Since when; none: nothing was kept yet.
    pub since: Option<Timestamp>,
    /// Those that ended and were let go, which they are when the record has their ends.
    pub ended: BTreeMap<AttemptId, Ended>,
    /// Those that ended, and may not be recorded yet.
    pub waiting: BTreeMap<AttemptId, Ended>,
    /// Those that run.
    pub running: BTreeSet<AttemptId>,
    /// Those of which it kept two different ends.
    pub twice: Vec<AttemptId>,
}

#[derive(Deserialize)]
struct Planned {
    attempt: AttemptId,
    executor: String,
    #[serde(default)]
    place: Option<String>,
}

#[derive(Deserialize)]
struct Exited {
    attempt: AttemptId,
    usage: Used,
}

#[derive(Deserialize)]
struct Used {
    allocated_ms: Timestamp,
    released_ms: Timestamp,
    outcome: String,
}

/// The comparison while the record goes by.
struct Matching {
    kept: Kept,
    /// The record's head before the executor was asked: what came later it need not know.
    asked_at: Position,
    /// Attempts of this place that were planned and have no end yet.
    open: BTreeSet<AttemptId>,
    compared: u64,
    findings: Vec<Discrepancy>,
    further: u64,
}

/// Compares. `kept` asks the executor, once the head of the record is known.
pub(super) async fn compare(
    store: &dyn EventStore,
    place: &str,
    kept: impl FnOnce() -> Result<Kept, AppError> + Send,
) -> Result<ReconciliationReported, AppError> {
    let asked_at = store.head().await?;
    let kept = kept()?;
    let mut matching = Matching {
        kept,
        asked_at,
        open: BTreeSet::new(),
        compared: 0,
        findings: Vec::new(),
        further: 0,
    };
    let mut cursor = Position(0);
    loop {
        let page = store.read_after(cursor, PAGE).await?;
        for event in &page {
            matching.look(event, place)?;
        }
        match page.last() {
            Some(last) => cursor = last.position,
            None => break,
        }
    }
    Ok(matching.finish(place, cursor))
}

impl Matching {
    fn look(&mut self, event: &Recorded, place: &str) -> Result<(), AppError> {
        if !event.stream.as_str().starts_with("run/") {
            return Ok(());
        }
        let damaged = |detail: String| {
            AppError::from(ReadError::Corrupt { position: event.position, detail })
        };
        let leaf = Envelope::parse(&event.leaf).map_err(|error| damaged(error.to_string()))?;
        match leaf.kind.as_str() {
            "attempt.planned" => {
                let planned: Planned =
                    serde_json::from_str(&leaf.data).map_err(|e| damaged(e.to_string()))?;
                let is_here = planned.place.as_deref().is_none_or(|there| there == place);
                if planned.executor == "local" && is_here {
                    self.open.insert(planned.attempt);
                }
            }
            "attempt.exited" => {
                let exited: Exited =
                    serde_json::from_str(&leaf.data).map_err(|e| damaged(e.to_string()))?;
                if self.open.remove(&exited.attempt) {
                    self.ended(&exited, event.position);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn ended(&mut self, exited: &Exited, position: Position) {
        let (attempt, used) = (exited.attempt, &exited.usage);
        let released = self.kept.ended.remove(&attempt);
        let kept = released.or_else(|| self.kept.waiting.remove(&attempt));
        let was_given_up = used.outcome == "lost";
        match kept {
            // Who gave it up did not know when it ended; what came to light later is in the record.
            Some(_) if was_given_up => self.compared += 1,
            Some(kept) => {
                self.compared += 1;
                let recorded = (used.allocated_ms, used.released_ms);
                if recorded != (kept.allocated, kept.released) {
                    let detail = format!(
                        "the record says {} to {}, its executor {} to {}",
                        recorded.0.0, recorded.1.0, kept.allocated.0, kept.released.0
                    );
                    self.found("times", attempt, detail);
                }
            }
            None => {
                let never_ran = used.allocated_ms == used.released_ms;
                // Its folder was looked at before the record: it has ended since then.
                let is_known = self.kept.running.remove(&attempt);
                let is_older = self.kept.since.is_none_or(|since| used.released_ms < since);
                let is_later = position > self.asked_at;
                if never_ran || was_given_up || is_known || is_older || is_later {
                    return;
                }
                self.compared += 1;
                let detail = "the record has its end, its executor kept nothing of it";
                self.found("missing", attempt, detail.to_string());
            }
        }
    }

    fn finish(mut self, place: &str, head: Position) -> ReconciliationReported {
        let open = std::mem::take(&mut self.open);
        for attempt in std::mem::take(&mut self.kept.ended).into_keys() {
            self.compared += 1;
            match open.contains(&attempt) {
                true => {
                    let detail = "its executor let it go, and the record has no end of it";
                    self.found("unrecorded", attempt, detail.to_string());
                }
                false => self.surplus(attempt, "ended"),
            }
        }
        for attempt in std::mem::take(&mut self.kept.waiting).into_keys() {
            self.compared += 1;
            if !open.contains(&attempt) {
                self.surplus(attempt, "ended");
            }
        }
        for attempt in std::mem::take(&mut self.kept.running) {
            if !open.contains(&attempt) {
                self.surplus(attempt, "has a folder");
            }
        }
        for attempt in std::mem::take(&mut self.kept.twice) {
            let detail = "its executor kept two different ends of it";
            self.found("twice", attempt, detail.to_string());
        }
        ReconciliationReported::of(
            Comparison::Executors,
            Some(place.to_string()),
            (head.0, self.compared),
            &self.findings,
            self.further,
        )
    }

    fn surplus(&mut self, attempt: AttemptId, how: &str) {
        let detail =
            format!("its executor says that it {how}, and the record knows no such attempt");
        self.found("surplus", attempt, detail);
    }

    fn found(&mut self, kind: &str, attempt: AttemptId, detail: String) {
        if self.findings.len() < MOST {
            self.findings.push(Discrepancy::new(kind, attempt, detail));
        } else {
            self.further += 1;
        }
    }
}
