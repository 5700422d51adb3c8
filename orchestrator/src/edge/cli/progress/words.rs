//! One sentence for each fact that a person wants to hear of.

use dagbook_events::run::event::Verdict;
use dagbook_events::run::{RunEvent, RunFact, RunState, UnitStatus};
use dagbook_events::time::Millis;

/// How a fact is felt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Something began or waits.
    Plain,
    /// Success.
    Good,
    /// Failure.
    Bad,
    /// Skipped, retried, cancelled.
    Dim,
}

/// Subject, verb and details of a fact, or nothing where it is not news.
pub(super) fn sentence(state: &RunState, fact: &RunFact) -> Option<(String, Mood, String)> {
    let line = |subject: &dyn ToString, mood, text: String| Some((subject.to_string(), mood, text));
    match &fact.event {
        RunEvent::Submitted(e) => {
            line(&e.pipeline, Mood::Plain, format!("run {} (#{}) accepted", e.run, e.number))
        }
        RunEvent::Admitted(e) => {
            line(&"run", Mood::Plain, format!("got its place in group `{}`", e.group))
        }
        RunEvent::Paused(_) => line(&"run", Mood::Dim, "paused".into()),
        RunEvent::Resumed(_) => line(&"run", Mood::Plain, "resumed".into()),
        RunEvent::CancelRequested(e) => {
            let how = if e.force { "cancelled by force" } else { "being cancelled" };
            line(&"run", Mood::Bad, format!("{how}: {}", e.reason))
        }
        RunEvent::StepExpanded(e) => line(&e.step, Mood::Plain, format!("{} children", e.count)),
        RunEvent::StepSkipped(e) => line(&e.step, Mood::Dim, format!("skipped: {}", e.reason)),
        RunEvent::StepFailed(e) => line(&e.step, Mood::Bad, format!("failed: {}", e.reason)),
        RunEvent::StepReused(e) => {
            line(&e.step, Mood::Good, format!("taken over from run {}", e.result.from_run))
        }
        RunEvent::ApprovalRequested(e) => {
            let question = if e.message.is_empty() { "approve?" } else { &e.message };
            let run = state.id();
            line(
                &e.step,
                Mood::Plain,
                format!("{question}  (dagbook approve {run} {} | dagbook reject …)", e.step),
            )
        }
        RunEvent::ApprovalGiven(e) => {
            let (mood, word) =
                if e.approved { (Mood::Good, "approved") } else { (Mood::Bad, "rejected") };
            let comment = if e.comment.is_empty() { "" } else { ": " };
            line(&e.step, mood, format!("{word}{comment}{}", e.comment))
        }
        RunEvent::WaitStarted(e) => {
            let until = match e.until {
                Some(until) => format!("waits until {until}"),
                None => "waits for its event".to_string(),
            };
            line(&e.step, Mood::Plain, until)
        }
        RunEvent::ChildRequested(e) => line(&e.step, Mood::Plain, format!("runs as {}", e.run)),
        RunEvent::ChildFinished(e) => {
            let good = e.status == dagbook_events::run::RunStatus::Succeeded;
            let mood = if good { Mood::Good } else { Mood::Bad };
            line(&e.step, mood, e.status.as_str().to_string())
        }
        RunEvent::AttemptPending(e) => line(&e.step, Mood::Dim, e.reason.message.clone()),
        RunEvent::AttemptStarted(e) => line(&e.step, Mood::Plain, "started".into()),
        RunEvent::AttemptExited(e) => {
            let took =
                Millis(u64::try_from(e.exited_at.0 - e.exit.usage.allocated_ms.0).unwrap_or(0));
            let (mood, text) = match &e.verdict {
                Verdict::Succeeded => (Mood::Good, format!("succeeded in {took}")),
                Verdict::Failed { reason } => {
                    (Mood::Bad, format!("failed: {reason} (after {took})"))
                }
                Verdict::Canceled => (Mood::Dim, format!("cancelled after {took}")),
                Verdict::Retry { at, reason, .. } => {
                    let wait = at.since(fact.at);
                    (Mood::Dim, format!("{reason}; attempt {} in {wait}", e.epoch.0 + 1))
                }
            };
            line(&e.step, mood, text)
        }
        RunEvent::Finished(e) => {
            let good = e.status == dagbook_events::run::RunStatus::Succeeded;
            let mood = if good { Mood::Good } else { Mood::Bad };
            let reason = if e.reason.is_empty() { "" } else { ": " };
            line(&"run", mood, format!("{}{reason}{}", e.status.as_str(), e.reason))
        }
        _ => None,
    }
}

/// A sign of one column for a status.
pub(super) fn sign(status: UnitStatus) -> &'static str {
    match status {
        UnitStatus::Succeeded => "✔",
        UnitStatus::Failed => "✘",
        UnitStatus::Skipped => "↷",
        UnitStatus::Canceled => "⊘",
        UnitStatus::Backoff(_) => "↻",
        _ => "·",
    }
}
