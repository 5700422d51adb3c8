//! What an attempt's end means for its step: success, failure, or another attempt.

use crate::dag::{Backoff, Jitter, RetryClass, RetryPolicy};
use crate::digest::Sha256Digest;
use crate::run::event::Verdict;
use crate::run::evolve::EXHAUSTED;
use crate::run::state::{RunState, StepBody, Unit, UnitRef};
use crate::step::{Fault, Outcome, StopCause, TimeoutKind};
use crate::time::{Millis, Timestamp};

/// Waiting after an infrastructure fault: not the author's policy, for it is not their fault.
const INFRA_BACKOFF: Backoff = Backoff {
    initial: Millis::seconds(1),
    factor_milli: 2_000,
    max: Millis::seconds(60),
    jitter: Jitter::Equal,
};

/// Judges an outcome. `problem` says why a success is none (outputs missing or of a wrong type).
pub(super) fn verdict(
    state: &RunState,
    at: UnitRef,
    outcome: &Outcome,
    problem: Option<String>,
    now: Timestamp,
) -> Verdict {
    if *outcome == Outcome::Succeeded && problem.is_none() {
        return Verdict::Succeeded;
    }
    let unit = state.unit(at);
    let reason = problem.clone().unwrap_or_else(|| outcome.describe());
    let shutdown = matches!(outcome, Outcome::Canceled { by: StopCause::Shutdown, .. });
    if unit.exhausted {
        return Verdict::Failed { reason: EXHAUSTED.to_string() };
    }
    // Killed for being overdue is a timeout of the attempt, not a cancel of the step.
    let overdue =
        matches!(outcome, Outcome::Canceled { by: StopCause::Timeout, .. }) && !stopping(state, at);
    if matches!(outcome, Outcome::Canceled { .. }) && !shutdown && !overdue {
        return Verdict::Canceled;
    }
    if stopping(state, at) {
        return if shutdown { Verdict::Canceled } else { Verdict::Failed { reason } };
    }
    let policy = &state.planned(at.step).retry;
    let infra = outcome.fault() == Fault::Infra && problem.is_none();
    let again = match infra {
        true => unit.infra_failures + 1 < policy.infra_attempts,
        false => counts(policy, outcome, problem.is_some()) && tries_left(policy, unit),
    };
    if !again {
        return Verdict::Failed { reason };
    }
    let (backoff, failures) = match infra {
        true => (INFRA_BACKOFF, unit.infra_failures),
        false => (policy.backoff, unit.failures),
    };
    let seed = Sha256Digest::of_parts(&[
        state.id().0.as_bytes(),
        state.key(at).as_str().as_bytes(),
        &unit.epoch.0.to_be_bytes(),
    ]);
    Verdict::Retry { at: now + wait(backoff, failures, seed), infra, reason }
}

/// Whether the unit is to stop anyway.
fn stopping(state: &RunState, at: UnitRef) -> bool {
    let group = matches!(&state.step(at.step).body, StepBody::FanOut(fan) if fan.stopping);
    group || state.cancels(state.planned(at.step).section)
}

fn tries_left(policy: &RetryPolicy, unit: &Unit) -> bool {
    unit.failures + 1 < policy.max_attempts
}

/// Whether the author's policy names this kind of failure.
fn counts(policy: &RetryPolicy, outcome: &Outcome, output_problem: bool) -> bool {
    let class = match outcome {
        _ if output_problem => RetryClass::Failed,
        Outcome::Failed { .. } | Outcome::Signaled { .. } => RetryClass::Failed,
        Outcome::OomKilled => RetryClass::Oom,
        Outcome::TimedOut { kind: TimeoutKind::Run | TimeoutKind::Heartbeat }
        | Outcome::Canceled { by: StopCause::Timeout, .. } => RetryClass::Timeout,
        _ => return false,
    };
    let named =
        policy.on.is_empty() || policy.on.contains(&RetryClass::Any) || policy.on.contains(&class);
    let code = match outcome {
        Outcome::Failed { exit_code } if !policy.exit_codes.is_empty() => {
            policy.exit_codes.contains(exit_code)
        }
        _ => true,
    };
    named && code
}

/// `min(max, initial × factor^failures)`, spread by the seed.
fn wait(backoff: Backoff, failures: u32, seed: Sha256Digest) -> Millis {
    let mut span = backoff.initial.0;
    for _ in 0..failures.min(64) {
        span = (span.saturating_mul(backoff.factor_milli) / 1_000).min(backoff.max.0);
    }
    let span = span.min(backoff.max.0);
    let mut first = [0; 8];
    first.copy_from_slice(&seed.0[..8]);
    let chance = u64::from_be_bytes(first);
    Millis(match backoff.jitter {
        Jitter::None => span,
        Jitter::Full => chance % (span + 1),
        Jitter::Equal => span / 2 + chance % (span / 2 + 1),
    })
}
