//! What became known of periods that were closed before: differences, never changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::RatingError;
use super::attempt::Counts;
use super::draft::{Names, Rating, Subject, Told};
use super::fact::{FactClass, FactSink, IdStart};
use super::names::{Shapes, plus};
use super::prices::{GroupName, UNPRICED};
use super::slices::Piece;
use crate::billing::{PeriodClosed, PeriodTotal, Whole};

impl<S: FactSink + ?Sized> Rating<'_, S> {
    /// Differences of what was billed for earlier periods.
    pub(super) fn correct(
        &mut self,
        subject: &Subject,
        now: &[Piece],
        then: &[Piece],
    ) -> Result<(), RatingError> {
        let live = subject.live;
        let records = &self.ledger.attempts.records;
        let counts_now = live.known.counts(records);
        let counts_then = live.known_before().and_then(|known| known.counts(records));
        let shapes = &self.ledger.shapes;
        // By period, meter, slice and what prices it: where it is shown, and the difference.
        let mut found: BTreeMap<Place, (Counts<'_>, &Piece, i128)> = BTreeMap::new();
        for (counts, pieces, sign) in [(counts_now, now, 1), (counts_then, then, -1)] {
            let Some(counts) = counts else { continue };
            for piece in pieces.iter().filter(|piece| self.earlier.contains(&piece.account)) {
                if piece.group == UNPRICED {
                    continue;
                }
                let place = place(shapes, counts, piece);
                let quantity = if piece.is_billed { sign * piece.quantity } else { 0 };
                let sum = found.entry(place).or_insert((counts, piece, 0));
                sum.2 = plus("a difference of quantities", sum.2, quantity)?;
            }
        }
        found.retain(|_, (_, _, difference)| *difference != 0);
        if found.is_empty() {
            return Ok(());
        }
        let (run, attempt) = self.ledger.attempts.name(subject.number);
        for (counts, piece, quantity) in found.into_values() {
            let step = self.ledger.texts.text(counts.record.step);
            let names = Names { run: Arc::clone(&run), step, attempt: Arc::clone(&attempt) };
            let ids = IdStart::new(&names.run, &names.step, &names.attempt);
            let group = Some(self.number(Some(piece.account), piece.group));
            let told = Told { class: FactClass::Correction, piece, counts, quantity };
            self.emit(&names, &ids, told, group)?;
        }
        Ok(())
    }
}

/// Where a difference is told: period, step, meter, slice, group.
type Place = (usize, u32, Arc<str>, u32, u32);

fn place(shapes: &Shapes, counts: Counts<'_>, piece: &Piece) -> Place {
    let meter = &shapes.get(counts.record.shape).meters[piece.meter];
    (piece.account, counts.record.step, Arc::clone(&meter.key), piece.slice, piece.group)
}

/// What a closing says of a sum: its own, or of an earlier period that it corrected.
pub(super) fn carried(closing: &PeriodClosed, period: &str, name: &GroupName) -> Option<i128> {
    let is_it = |total: &&PeriodTotal| {
        *total.sku == *name.sku
            && *total.rate_card == *name.label
            && *total.rate_card_version == *name.version
    };
    let found = if closing.period == period {
        closing.totals.iter().find(is_it)
    } else {
        let of_it = |total: &&PeriodTotal| total.period.as_deref() == Some(period);
        closing.corrected.iter().filter(of_it).find(is_it)
    };
    found.map(|total| {
        let Whole(quantity) = total.quantity;
        quantity
    })
}
