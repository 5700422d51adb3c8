//! Which of the records of an attempt counts.

use super::records::{At, Records};
use super::usage::{Heard, Sort};
use crate::step::Fault;

/// How long after its end the truth about a lost attempt is still taken: 62 days.
pub(super) const TRUTH_WINDOW_MS: i64 = 5_356_800_000;
/// How far a clock may be wrong: a day.
pub const CLOCK_WINDOW_MS: i64 = 86_400_000;

/// The first bytes of the digest of a usage: equal where the usage is.
pub(super) type Print = [u8; 16];

/// What one leaf said of an attempt.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub index: u64,
    pub rt: i64,
    pub allocated: i64,
    pub released: i64,
    pub started: Maybe,
    pub heard: MaybeHeard,
    pub egress: u64,
    pub rates: Rates,
    pub step: u32,
    pub shape: u32,
    pub print: Print,
    pub fault: Fault,
    pub is_lost: bool,
}

/// What is counted for each millisecond, of meters that every attempt has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub cpu_milli: u64,
    pub mem_mib: u64,
    pub disk_mib: u64,
}

/// An instant of a leaf, or none, in eight bytes: no integer of a leaf is as small as this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Maybe(i64);

impl Maybe {
    const NONE: i64 = i64::MIN;

    pub(super) fn of(instant: Option<i64>) -> Self {
        Self(instant.unwrap_or(Self::NONE))
    }

    pub(super) fn get(self) -> Option<i64> {
        Some(self.0).filter(|instant| *instant != Self::NONE)
    }
}

/// What was heard, or nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct MaybeHeard {
    planned: Maybe,
    started: Maybe,
    exited: Maybe,
}

impl MaybeHeard {
    pub(super) fn of(heard: Option<Heard>) -> Self {
        Self {
            planned: Maybe::of(heard.map(|heard| heard.planned)),
            started: Maybe::of(heard.and_then(|heard| heard.started)),
            exited: Maybe::of(heard.map(|heard| heard.exited)),
        }
    }

    pub(super) fn get(self) -> Option<Heard> {
        let (planned, exited) = (self.planned.get()?, self.exited.get()?);
        Some(Heard { planned, started: self.started.get(), exited })
    }
}

/// What is known of an attempt.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    pub checkpoint: Option<At>,
    pub end: Option<At>,
    pub truth: Option<At>,
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
    pub(super) fn judge(
        self,
        records: &Records,
        sort: Sort,
        record: &Record,
    ) -> Result<(), Option<Found>> {
        let end = self.end.map(|end| records.get(end));
        match sort {
            Sort::Checkpoint if end.is_some() => Err(Some(Found::AfterEnd)),
            Sort::Checkpoint => match self.checkpoint.map(|last| records.get(last)) {
                Some(last) if record.released < last.released => {
                    Err(Some(Found::CheckpointBackwards))
                }
                _ => Ok(()),
            },
            Sort::End => match end {
                None => Ok(()),
                Some(end) => Err(differs(Some(end.print), record)),
            },
            Sort::Truth => match end {
                Some(end)
                    if end.is_lost
                        && self.truth.is_none()
                        && record.rt.saturating_sub(end.rt) <= TRUTH_WINDOW_MS =>
                {
                    Ok(())
                }
                _ => Err(differs(self.counts(records).map(|counts| counts.record.print), record)),
            },
        }
    }

    /// What counts.
    pub(super) fn counts(self, records: &Records) -> Option<Counts<'_>> {
        let get = |at: Option<At>| at.map(|at| records.get(at));
        let end = get(self.end);
        let is_final = end.is_some();
        if let Some(truth) = get(self.truth) {
            return Some(Counts { record: truth, fault: truth.fault, is_final, is_lost: false });
        }
        match (end, get(self.checkpoint)) {
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

    /// All that is kept.
    pub(super) fn all(self) -> impl Iterator<Item = At> {
        [self.checkpoint, self.end, self.truth].into_iter().flatten()
    }
}

/// Nothing if the record repeats the usage, else that it contradicts it.
pub(super) fn differs(known: Option<Print>, record: &Record) -> Option<Found> {
    (known != Some(record.print)).then_some(Found::Conflict)
}

/// The state at the closing before, where it was another one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Before {
    /// It was the same.
    #[default]
    Same,
    /// Nothing was known.
    Nothing,
    /// It was this.
    Was(Known),
}

impl Before {
    fn has(self, at: At) -> bool {
        matches!(self, Self::Was(known) if known.all().any(|one| one == at))
    }
}

/// An attempt in the ledger.
#[derive(Debug)]
pub(super) enum Slot {
    /// Something may still follow from it.
    Live(Live),
    /// All of it lies in closed periods. Only repeats and contradictions are told apart.
    Closed {
        /// Of its end.
        end: Print,
        /// Of what counts.
        counts: CountsPrint,
    },
}

/// The print of what counts of an attempt.
#[derive(Debug)]
pub(super) enum CountsPrint {
    /// Nothing does.
    Nothing,
    /// Its end.
    End,
    /// Something else.
    Other(Box<Print>),
}

impl CountsPrint {
    pub(super) fn of(counts: Option<Print>, end: Print) -> Self {
        match counts {
            None => Self::Nothing,
            Some(print) if print == end => Self::End,
            Some(print) => Self::Other(Box::new(print)),
        }
    }

    pub(super) fn get(&self, end: Print) -> Option<Print> {
        match self {
            Self::Nothing => None,
            Self::End => Some(end),
            Self::Other(print) => Some(**print),
        }
    }
}

/// An attempt from which something may still follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    pub known: Known,
    pub before: Before,
}

impl Live {
    /// An attempt of which nothing was heard yet.
    pub(super) fn fresh() -> Self {
        Self { known: Known::default(), before: Before::Nothing }
    }

    /// Whether nothing was heard of it since the closing before.
    pub(super) fn is_settled(self) -> bool {
        matches!(self.before, Before::Same)
    }

    /// What was known at the closing before.
    pub(super) fn known_before(self) -> Option<Known> {
        match self.before {
            Before::Same => Some(self.known),
            Before::Nothing => None,
            Before::Was(known) => Some(known),
        }
    }

    /// Takes a record that [`Known::judge`] let through. What was known at the closing before is
    /// remembered.
    pub(super) fn take(&mut self, records: &mut Records, sort: Sort, record: Record) {
        if matches!(self.before, Before::Same) {
            self.before = Before::Was(self.known);
        }
        let is_over = sort == Sort::End && !record.is_lost;
        let place = match sort {
            Sort::Checkpoint => &mut self.known.checkpoint,
            Sort::End => &mut self.known.end,
            Sort::Truth => &mut self.known.truth,
        };
        let old = place.replace(records.add(record));
        // A checkpoint can never count again once there is an end that is not lost.
        let over = if is_over { self.known.checkpoint.take() } else { None };
        for at in [old, over].into_iter().flatten() {
            if !self.before.has(at) {
                records.remove(at);
            }
        }
    }

    /// What is known now is what the closing counts.
    pub(super) fn settle(&mut self, records: &mut Records) {
        if let Before::Was(known) = self.before {
            for at in known.all().filter(|at| self.known.all().all(|kept| kept != *at)) {
                records.remove(at);
            }
        }
        self.before = Before::Same;
    }
}
