//! Leaves that were recorded once are made into requests that are decided again: the numbers
//! that the record would give them now must be those that they have.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::backend::Write;
use super::request::Prepared;
use crate::canonical;
use crate::envelope::{Draft, Envelope, MAX_LEAF_BYTES};
use crate::ids::Position;
use crate::ports::{AppendError, Clock, Expected};
use crate::time::Timestamp;

/// Leaves in one call.
const MAX_LEAVES: usize = 10_000;

/// Leaves that are to be taken, read and checked by themselves.
pub(super) struct Recorded {
    pub(super) requests: Vec<Prepared>,
    pub(super) clock: Replayed,
    envelopes: Vec<Envelope>,
}

impl Recorded {
    pub(super) fn read(leaves: &[Arc<[u8]>]) -> Result<Self, AppendError> {
        if leaves.is_empty() || leaves.len() > MAX_LEAVES {
            let message = format!("1 to {MAX_LEAVES} leaves are restored at a time");
            return Err(AppendError::Invalid(message));
        }
        let mut requests = Vec::with_capacity(leaves.len());
        let mut envelopes = Vec::with_capacity(leaves.len());
        for (at, leaf) in leaves.iter().enumerate() {
            let unfit = |reason: String| {
                AppendError::Invalid(format!("leaf {at} of those to be restored: {reason}"))
            };
            if leaf.len() > MAX_LEAF_BYTES {
                return Err(unfit(format!("it has {} bytes", leaf.len())));
            }
            canonical::verify(leaf).map_err(|error| unfit(error.to_string()))?;
            let envelope = Envelope::parse(leaf).map_err(|error| unfit(error.to_string()))?;
            let Envelope { tenant, stream, version, kind, .. } = &envelope;
            let (draft, expected) = (Draft::recorded(leaf, kind), Expected::Exact(*version));
            requests.push(Prepared::of_draft(tenant.clone(), stream.clone(), expected, draft));
            envelopes.push(envelope);
        }
        let times = envelopes.iter().map(|envelope| envelope.recorded_at).collect();
        Ok(Self { requests, clock: Replayed(Mutex::new(times)), envelopes })
    }

    /// Whether what would be written is what the leaves say.
    pub(super) fn check(envelopes: &[Envelope], write: &Write<'_>) -> Result<(), AppendError> {
        let mut recorded_at = write.before.recorded_at;
        for (row, envelope) in write.rows.iter().zip(envelopes) {
            let numbers = [
                ("position", row.position.0, envelope.position.0),
                ("index in the tenant's log", row.tenant_sequence, envelope.tenant_sequence),
                ("version in the stream", row.version, envelope.version),
                ("timeline", write.before.timeline, envelope.timeline),
            ];
            for (number, expected, actual) in numbers {
                if expected != actual {
                    return Err(not_next(envelope.position, number, expected, actual));
                }
            }
            if envelope.recorded_at < recorded_at {
                let message = format!(
                    "position {} was recorded before the event before it",
                    envelope.position
                );
                return Err(AppendError::Invalid(message));
            }
            recorded_at = envelope.recorded_at;
        }
        Ok(())
    }

    /// Splits it into what is decided and what it must agree with.
    pub(super) fn into_parts(self) -> (Vec<Prepared>, Replayed, Vec<Envelope>) {
        (self.requests, self.clock, self.envelopes)
    }
}

fn not_next(position: Position, number: &str, expected: u64, actual: u64) -> AppendError {
    AppendError::Invalid(format!(
        "the leaf of position {position} does not continue the record: its {number} is {actual}, \
         {expected} comes next"
    ))
}

/// The instants at which the leaves were recorded, one after the other.
pub(super) struct Replayed(Mutex<VecDeque<Timestamp>>);

impl Clock for Replayed {
    fn now(&self) -> Timestamp {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        next.unwrap_or(Timestamp(0))
    }
}
