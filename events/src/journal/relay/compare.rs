//! Whether the record and its copy agree.

use std::time::Duration;

use super::{End, Relay, Trouble};
use crate::digest::Sha256Digest;
use crate::ids::Position;
use crate::ports::{CopiedEvent, Recorded};
use crate::tlog::leaf_hash;

/// So many events that were added behind our back are compared one by one.
const MOST_COMPARED: u64 = 20_000;
/// Events that are compared at once.
const PAGE: usize = 1_000;

/// How the record and its copy contradict each other. The text is for the person who has to
/// look: what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The copy goes further than the record.
    #[error(
        "the copy of timeline {timeline} ends at position {copy}, but the record ends at position \
         {record}: the store was restored from an older backup, or somebody else added to the \
         copy. Nothing is recorded or copied until this is settled: restore a backup that reaches \
         position {copy}, or, if what is missing is lost, begin a new timeline"
    )]
    Ahead {
        /// The timeline.
        timeline: u64,
        /// Where the copy ends.
        copy: Position,
        /// Where the record ends.
        record: Position,
    },
    /// The copy knows a later timeline than the record.
    #[error(
        "the record is on timeline {timeline}, but timeline {later} was copied already: the \
         store was restored from a backup of before that timeline began. Nothing is recorded or \
         copied until this is settled: restore a newer backup, or begin a timeline beyond {later}"
    )]
    Earlier {
        /// The timeline of the record.
        timeline: u64,
        /// The timeline of the copy.
        later: u64,
    },
    /// They have different events at one position.
    #[error(
        "the record and the copy of timeline {timeline} differ at position {position}: the \
         record's leaf has the hash {record}, the copy's has {copy}{}. One of them was changed, \
         or the store was restored from an older backup and went on. Nothing is recorded or \
         copied until this is settled: find out with `dagbook audit reconcile` which one is \
         right, then restore a backup or begin a new timeline",
        stated_beside(copy, stated)
    )]
    Diverged {
        /// The timeline.
        timeline: u64,
        /// Where.
        position: Position,
        /// Leaf hash in the record.
        record: Sha256Digest,
        /// Leaf hash of the copy's body.
        copy: Sha256Digest,
        /// The hash that stands beside the copy's body.
        stated: Option<Sha256Digest>,
    },
    /// The copy lacks an event before its end.
    #[error(
        "the copy of timeline {timeline} ends at position {last} and has nothing at position \
         {position}: it has lost what it must keep. Nothing is recorded or copied until this is \
         settled: delete the damaged copy, so that it is made anew from the record"
    )]
    Hole {
        /// The timeline.
        timeline: u64,
        /// Where it has nothing.
        position: Position,
        /// Where it ends.
        last: Position,
    },
    /// The record itself cannot be read as it must be.
    #[error(
        "the record is damaged at position {position}: {detail}. Nothing is recorded or copied \
         until this is settled: run `dagbook audit verify`, and restore a backup"
    )]
    Damaged {
        /// Where.
        position: Position,
        /// What.
        detail: String,
    },
}

fn stated_beside(copy: &Sha256Digest, stated: &Option<Sha256Digest>) -> String {
    match stated {
        Some(stated) if stated == copy => String::new(),
        Some(stated) => format!(" (and states {stated})"),
        None => " (and states none)".to_string(),
    }
}

/// Checks that rows go on from a cursor without a gap.
pub(super) fn dense(cursor: Position, rows: &[Recorded]) -> Result<(), Contradiction> {
    let mut expected = cursor.0;
    for row in rows {
        expected += 1;
        if row.position.0 != expected {
            let detail = format!("position {} follows position {}", row.position, expected - 1);
            return Err(Contradiction::Damaged { position: Position(expected), detail });
        }
    }
    Ok(())
}

/// Compares an event of the record with what was copied of it.
pub(super) fn same_as_published(
    timeline: u64,
    row: &Recorded,
    published: Sha256Digest,
) -> Result<(), Contradiction> {
    let record = leaf_hash(&row.leaf);
    match record == published {
        true => Ok(()),
        false => Err(Contradiction::Diverged {
            timeline,
            position: row.position,
            record,
            copy: published,
            stated: Some(published),
        }),
    }
}

fn same(timeline: u64, row: &Recorded, copied: &CopiedEvent) -> Result<(), Contradiction> {
    let record = leaf_hash(&row.leaf);
    if row.leaf == copied.leaf && copied.stated_hash == Some(record) {
        return Ok(());
    }
    Err(Contradiction::Diverged {
        timeline,
        position: row.position,
        record,
        copy: leaf_hash(&copied.leaf),
        stated: copied.stated_hash,
    })
}

impl Relay {
    /// Steps 1 and 2 of the letter, and before the first event some earlier positions; and that
    /// nobody has gone over to a later timeline.
    pub(super) async fn compare(&mut self) -> Result<End, Trouble> {
        let timeline = self.store.timeline().await?;
        match self.compare_on(timeline).await {
            // Another process may have begun a timeline since it was asked for, and its relay
            // may have copied it already. What was found then says nothing about the new one.
            Err(Trouble::Contradiction(_)) if self.store.timeline().await? != timeline => {
                let text = "the record has gone over to another timeline meanwhile";
                Err(Trouble::Again(text.to_string()))
            }
            compared => compared,
        }
    }

    async fn compare_on(&mut self, timeline: u64) -> Result<End, Trouble> {
        // In this order: what the copy has was in the record before.
        let last = self.copy.last(timeline).await?;
        let record = self.store.head().await?;
        self.status.send_modify(|status| status.head = record);
        if last > record {
            return Err(Contradiction::Ahead { timeline, copy: last, record }.into());
        }
        if self.copy.last(timeline + 1).await? > Position(0) {
            return Err(Contradiction::Earlier { timeline, later: timeline + 1 }.into());
        }
        let mut hash = None;
        let known = self.known.filter(|(of, known)| *of == timeline && *known < last);
        if let Some((_, known)) = known {
            self.compare_after(timeline, known, last).await?;
        }
        if last > Position(0) {
            hash = Some(self.compare_at(timeline, last, last).await?);
        }
        if !self.sampled {
            for position in samples(last, self.limits.samples) {
                self.compare_at(timeline, position, last).await?;
            }
            self.sampled = true;
        }
        Ok(End { timeline, last, hash })
    }

    /// Compares everything that was added since the copy's end was known last. It was us, whose
    /// answer was lost, or somebody else, who need not carry the same record.
    async fn compare_after(
        &self,
        timeline: u64,
        known: Position,
        last: Position,
    ) -> Result<(), Trouble> {
        let until = Position(last.0.min(known.0.saturating_add(MOST_COMPARED)));
        let mut scan = self.copy.scan(timeline, known, None).await?;
        let mut seen = known;
        while seen < until {
            // What the copy has comes without waiting; where nothing comes, it was lost again.
            let copied = scan.next(PAGE, Duration::ZERO).await?;
            let rows = self.store.read_after(seen, copied.len()).await?;
            dense(seen, &rows)?;
            if rows.is_empty() || rows.len() < copied.len() {
                return Err(Trouble::Again("the copy or the record became shorter".to_string()));
            }
            for (row, copied) in rows.iter().zip(&copied) {
                if row.position != copied.position {
                    return Err(Trouble::Again("the copy is not in order".to_string()));
                }
                same(timeline, row, copied)?;
                seen = row.position;
            }
        }
        Ok(())
    }

    async fn compare_at(
        &self,
        timeline: u64,
        position: Position,
        last: Position,
    ) -> Result<Sha256Digest, Trouble> {
        let rows = self.store.read_after(Position(position.0 - 1), 1).await?;
        dense(Position(position.0 - 1), &rows)?;
        let Some(row) = rows.first() else {
            let head = self.store.head().await?;
            return Err(Contradiction::Ahead { timeline, copy: last, record: head }.into());
        };
        let copied = match self.copy.at(timeline, position).await? {
            Some(copied) => copied,
            // It may have been lost since it was asked for its end.
            None if self.copy.last(timeline).await? < last => {
                return Err(Trouble::Again("the copy became shorter meanwhile".to_string()));
            }
            // And another relay may have brought it back since then.
            None => match self.copy.at(timeline, position).await? {
                Some(copied) => copied,
                None => return Err(Contradiction::Hole { timeline, position, last }.into()),
            },
        };
        same(timeline, row, &copied)?;
        Ok(leaf_hash(&row.leaf))
    }
}

/// Positions before `last`, evenly, beginning with the first.
fn samples(last: Position, count: u64) -> Vec<Position> {
    let (last, count) = (last.0, count.min(last.0.saturating_sub(1)));
    (0..count)
        .map(|index| {
            let before = u128::from(last - 1) * u128::from(index) / u128::from(count);
            Position(1 + u64::try_from(before).unwrap_or(0))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_before_the_end_in_order_and_all_of_them_where_there_are_few() {
        let of = |last, count| -> Vec<u64> {
            samples(Position(last), count).iter().map(|position| position.0).collect()
        };
        assert_eq!(of(0, 8), Vec::<u64>::new());
        assert_eq!(of(1, 8), Vec::<u64>::new());
        assert_eq!(of(4, 8), [1, 2, 3]);
        assert_eq!(of(101, 4), [1, 26, 51, 76]);
        assert_eq!(of(u64::MAX, 2), [1, 9_223_372_036_854_775_808]);
    }
}
