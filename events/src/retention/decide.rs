//! What may go now.

use super::event::Retention;
use super::policy::Effective;
use crate::ids::RunId;
use crate::time::{Millis, Timestamp};

/// Why something stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// No policy says otherwise.
    ForGood,
    /// Its run goes on.
    Running,
    /// A hold stops it.
    Held,
    /// It is kept until then.
    Until(Timestamp),
}

/// Whether the logs of a run may go.
///
/// # Errors
/// Why they stay.
pub fn logs_may_go(
    policy: &Effective,
    of_tenant: &Retention,
    run: RunId,
    ended_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Stays> {
    may_go(policy.logs(), of_tenant, run, ended_at, now)
}

/// Whether what a run refers to may go, as far as this run is concerned.
///
/// # Errors
/// Why it stays.
pub fn blob_may_go(
    policy: &Effective,
    of_tenant: &Retention,
    run: RunId,
    ended_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Stays> {
    may_go(policy.blobs(), of_tenant, run, ended_at, now)
}

fn may_go(
    kept: Option<Millis>,
    of_tenant: &Retention,
    run: RunId,
    ended_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Stays> {
    let kept = kept.ok_or(Stays::ForGood)?;
    let ended_at = ended_at.ok_or(Stays::Running)?;
    if of_tenant.is_held(run) {
        return Err(Stays::Held);
    }
    let until = ended_at + kept;
    if now < until { Err(Stays::Until(until)) } else { Ok(()) }
}
