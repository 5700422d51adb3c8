//! Values of attributes, and how endings are told.

use super::{Attribute, MOST_TEXT, SpanStatus};
use crate::run::UnitStatus;
use crate::run::event::RunStatus;
use crate::step::Outcome;

pub(super) fn text(text: &str) -> Attribute {
    Attribute::Text(text.chars().take(MOST_TEXT).collect())
}

pub(super) fn count(n: u64) -> Attribute {
    Attribute::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

pub(super) fn run_status(status: RunStatus, reason: &str) -> SpanStatus {
    match status {
        RunStatus::Succeeded => SpanStatus::Ok,
        RunStatus::Canceled => SpanStatus::Unset,
        RunStatus::Failed | RunStatus::Rejected => error(reason, status.as_str()),
    }
}

pub(super) fn step_status(status: UnitStatus, reason: &str) -> SpanStatus {
    match status {
        UnitStatus::Succeeded => SpanStatus::Ok,
        UnitStatus::Failed => error(reason, status.as_str()),
        _ => SpanStatus::Unset,
    }
}

pub(super) fn outcome(outcome: &Outcome) -> SpanStatus {
    match outcome {
        Outcome::Succeeded => SpanStatus::Ok,
        Outcome::Canceled { .. } => SpanStatus::Unset,
        other => error(&other.describe(), other.name()),
    }
}

fn error(reason: &str, otherwise: &str) -> SpanStatus {
    let said = if reason.is_empty() { otherwise } else { reason };
    SpanStatus::Error(said.chars().take(MOST_TEXT).collect())
}
