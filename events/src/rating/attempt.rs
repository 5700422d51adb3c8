//! Which of the records of an attempt counts.

use super::leaf::{Heard, Sort};
use crate::step::Fault;

/// How long after its end the truth about a lost attempt is still taken: 62 days.
pub(super) const TRUTH_WINDOW_MS: i64 = 5_356_800_000;
/// How far a clock may be wrong: a day.
pub(super) const CLOCK_WINDOW_MS: i64 = 86_400_000;

/// The first bytes of the digest of a usage: equal where the usage is.
pub(super) type Print = [u8; 16];

/// What one leaf said of an attempt.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub index: u64,
    pub rt: i64,
    pub allocated: i64,
    pub released: i64,
    pub started: Option<i64>,
    pub heard: Option<Box<Heard>>,
    pub egress: u64,
    pub step: u32,
    pub shape: u32,
    pub print: Print,
    pub fault: Fault,
    pub is_lost: bool,
}

/// What is known of an attempt.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub checkpoint: Option<Box<Record>>,
    pub end: Option<Box<Record>>,
    pub truth: Option<Box<Record>>,
}

/// The record that counts, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts<'a> {
    pub record: &'a Record,
    pub fault: Fault,
    pub is_final: bool,
    /// It was given up, and this is the last that is known.
    pub is_lost: bool,
}

/// What a record that changes nothing says about the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    CheckpointBackwards,
    AfterEnd,
    Conflict,
    InFuture,
    InPast,
    Inverted,
    Lost,
}

impl Found {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CheckpointBackwards => "checkpoint_backwards",
            Self::AfterEnd => "after_end",
            Self::Conflict => "conflict",
            Self::InFuture => "in_future",
            Self::InPast => "in_past",
            Self::Inverted => "inverted",
            Self::Lost => "lost",
        }
    }
}

impl Known {
    /// Whether the record would change what is known, or what is odd about it.
    pub(super) fn judge(&self, sort: Sort, record: &Record) -> Result<(), Option<Found>> {
        match sort {
            Sort::Checkpoint if self.end.is_some() => Err(Some(Found::AfterEnd)),
            Sort::Checkpoint => match &self.checkpoint {
                Some(last) if record.released < last.released => {
                    Err(Some(Found::CheckpointBackwards))
                }
                _ => Ok(()),
            },
            Sort::End => match &self.end {
                None => Ok(()),
                Some(end) => Err(differs(Some(end.print), record)),
            },
            Sort::Truth => match &self.end {
                Some(end)
                    if end.is_lost
                        && self.truth.is_none()
                        && record.rt.saturating_sub(end.rt) <= TRUTH_WINDOW_MS =>
                {
                    Ok(())
                }
                _ => Err(differs(self.counts().map(|counts| counts.record.print), record)),
            },
        }
    }

    /// Takes a record that [`Known::judge`] let through.
    pub(super) fn take(&mut self, sort: Sort, record: Record) {
        let place = match sort {
            Sort::Checkpoint => &mut self.checkpoint,
            Sort::End => {
                if !record.is_lost {
                    // It can never count again.
                    self.checkpoint = None;
                }
                &mut self.end
            }
            Sort::Truth => &mut self.truth,
        };
        *place = Some(Box::new(record));
    }

    /// What counts.
    pub(super) fn counts(&self) -> Option<Counts<'_>> {
        let end = self.end.as_deref();
        let is_final = end.is_some();
        if let Some(truth) = self.truth.as_deref() {
            return Some(Counts { record: truth, fault: truth.fault, is_final, is_lost: false });
        }
        match (end, self.checkpoint.as_deref()) {
            (Some(end), _) if !end.is_lost => {
                Some(Counts { record: end, fault: end.fault, is_final, is_lost: false })
            }
            (Some(end), Some(last)) => {
                Some(Counts { record: last, fault: end.fault, is_final, is_lost: true })
            }
            (None, Some(last)) => {
                Some(Counts { record: last, fault: last.fault, is_final, is_lost: false })
            }
            (Some(_), None) | (None, None) => None,
        }
    }

    /// The lowest index of what is kept.
    pub(super) fn lowest(&self) -> Option<u64> {
        let all = [&self.checkpoint, &self.end, &self.truth];
        all.into_iter().flatten().map(|record| record.index).min()
    }
}

/// Nothing if the record repeats the usage, else that it contradicts it.
pub(super) fn differs(known: Option<Print>, record: &Record) -> Option<Found> {
    (known != Some(record.print)).then_some(Found::Conflict)
}

/// The state at the closing before, where it was another one.
#[derive(Debug, Clone, Default)]
pub(super) enum Before {
    /// It was the same.
    #[default]
    Same,
    /// Nothing was known.
    Nothing,
    /// It was this.
    Was(Box<Known>),
}

/// An attempt in the ledger.
#[derive(Debug)]
pub(super) enum Slot {
    /// Something may still follow from it.
    Live(Box<Live>),
    /// All of it lies in closed periods. Only repeats and contradictions are told apart.
    Closed {
        /// Of its end.
        end: Print,
        /// Of what counts, where something does.
        counts: Option<Print>,
    },
}

/// An attempt from which something may still follow.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub known: Known,
    pub before: Before,
}

impl Live {
    /// What was known at the closing before.
    pub(super) fn known_before(&self) -> Option<&Known> {
        match &self.before {
            Before::Same => Some(&self.known),
            Before::Nothing => None,
            Before::Was(known) => Some(known),
        }
    }

    /// Remembers the state before the first change since the closing before.
    pub(super) fn remember(&mut self) {
        if matches!(self.before, Before::Same) {
            self.before = Before::Was(Box::new(self.known.clone()));
        }
    }
}
