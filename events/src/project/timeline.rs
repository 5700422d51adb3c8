//! What happened, a sentence for each event.

use crate::ids::StepKey;
use crate::run::RunFact;
use crate::run::event::{RunEvent, TimerKind, Verdict};
use crate::time::{Millis, Timestamp};

/// One event for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// When it happened.
    pub at: Timestamp,
    /// The recorded type.
    pub kind: &'static str,
    /// The step or child that it is about.
    pub step: Option<StepKey>,
    /// What happened, as far as the type alone does not say it.
    pub text: String,
}

/// The events of a run in order.
pub fn timeline<'a>(facts: impl IntoIterator<Item = &'a RunFact>) -> Vec<TimelineEntry> {
    facts
        .into_iter()
        .map(|fact| {
            let (step, text) = describe(&fact.event);
            TimelineEntry { at: fact.at, kind: fact.event.kind(), step, text }
        })
        .collect()
}

fn describe(event: &RunEvent) -> (Option<StepKey>, String) {
    let step = |key: &StepKey| Some(key.clone());
    match event {
        RunEvent::Submitted(e) => (None, format!("{} #{} ({})", e.pipeline, e.number, e.trigger)),
        RunEvent::Admitted(e) => (None, format!("has a place in group `{}`", e.group)),
        RunEvent::Paused(e) | RunEvent::Resumed(e) => (None, e.comment.clone()),
        RunEvent::CancelRequested(e) => {
            let how = if e.force { "by force" } else { "gracefully" };
            (None, join(how, &e.reason))
        }
        RunEvent::Signaled(e) => (None, format!("`{}`", e.name)),
        RunEvent::TimerFired(e) => timer(&e.timer),
        RunEvent::Finished(e) => (None, join(e.status.as_str(), &e.reason)),
        RunEvent::StepExpanded(e) => (step(&e.step), format!("{} children", e.count)),
        RunEvent::StepSkipped(e) => (step(&e.step), e.reason.clone()),
        RunEvent::StepFailed(e) => (step(&e.step), e.reason.clone()),
        RunEvent::CacheAsked(e) => (step(&e.step), format!("key {}", &e.key.to_hex()[..12])),
        RunEvent::CacheMissed(e) => (step(&e.step), String::new()),
        RunEvent::StepReused(e) => (step(&e.step), format!("from run {}", e.result.from_run)),
        RunEvent::ApprovalRequested(e) => {
            (step(&e.step), join(&format!("of a {}", e.role), &e.message))
        }
        RunEvent::ApprovalGiven(e) => {
            (step(&e.step), join(if e.approved { "yes" } else { "no" }, &e.comment))
        }
        RunEvent::WaitStarted(e) => {
            let until = e.until.map_or("for an event".to_string(), |at| format!("until {at}"));
            (step(&e.step), until)
        }
        RunEvent::ChildRequested(e) => (step(&e.step), format!("run {}", e.run)),
        RunEvent::ChildFinished(e) => (step(&e.step), join(e.status.as_str(), &e.reason)),
        RunEvent::ReportStale(e) => (step(&e.step), format!("attempt {}: {}", e.epoch, e.said)),
        other => attempt(other),
    }
}

fn attempt(event: &RunEvent) -> (Option<StepKey>, String) {
    match event {
        RunEvent::AttemptPlanned(e) => {
            (Some(e.step.clone()), format!("attempt {} on `{}`", e.epoch, e.executor))
        }
        RunEvent::AttemptPending(e) => (Some(e.step.clone()), e.reason.message.clone()),
        RunEvent::AttemptStarted(e) => {
            let pid = e.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
            (Some(e.step.clone()), format!("on {}{pid}", e.node))
        }
        RunEvent::AttemptStopping(e)
        | RunEvent::AttemptSuspected(e)
        | RunEvent::AttemptRecovered(e) => (Some(e.step.clone()), String::new()),
        RunEvent::UsageCheckpoint(e) => {
            let used = &e.usage.used;
            let text =
                format!("{} of CPU, at most {} MiB so far", Millis(used.cpu_ms), used.mem_peak_mib);
            (Some(e.step.clone()), text)
        }
        RunEvent::AttemptExited(e) => {
            let outcome = e.exit.outcome.describe();
            let text = match &e.verdict {
                Verdict::Retry { at, .. } => format!("{outcome}; again at {at}"),
                Verdict::Failed { reason } if *reason != outcome => join(&outcome, reason),
                _ => outcome,
            };
            (Some(e.step.clone()), text)
        }
        _ => (None, String::new()),
    }
}

fn timer(timer: &TimerKind) -> (Option<StepKey>, String) {
    match timer {
        TimerKind::Run => (None, "the run took longer than its timeout".to_string()),
        TimerKind::Queue(key) => (Some(key.clone()), "waited too long for a place".to_string()),
        TimerKind::Total(key) => {
            (Some(key.clone()), "all attempts together took too long".to_string())
        }
        TimerKind::Backoff(key) => (Some(key.clone()), "the wait is over".to_string()),
        TimerKind::Approval(key) => (Some(key.clone()), "nobody answered".to_string()),
        TimerKind::Sleep(key) => (Some(key.clone()), "the wait is over".to_string()),
        TimerKind::Overdue(attempt) => (None, format!("attempt {attempt} should have ended")),
        TimerKind::Fence(attempt) => (None, format!("attempt {attempt} is given up")),
    }
}

fn join(first: &str, second: &str) -> String {
    if second.is_empty() { first.to_string() } else { format!("{first}: {second}") }
}
