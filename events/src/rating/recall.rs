//! A ledger that begins in the middle of a log: what was recorded before it of those who go on.

use super::RatingError;
use super::attempt::Slot;
use super::leaf::Leaf;
use super::ledger::Ledger;
use super::usage::Usage;

impl Ledger {
    /// Takes a leaf from before the first that was pushed, of a run of which nothing was pushed
    /// yet; its leaves in their order. A log that is pushed from the closing before on, or from
    /// a clock window before the period where that is earlier, is rated as the whole log is, where
    /// every run that appears in it is recalled so.
    ///
    /// # Errors
    /// Where it is not what its type says.
    pub fn recall(&mut self, index: u64, leaf: &[u8]) -> Result<(), RatingError> {
        self.reading(index, leaf, |this, leaf| match leaf {
            Leaf::Usage(usage) => this.recall_usage(index, &usage),
            _ => Ok(()),
        })
    }

    fn recall_usage(&mut self, index: u64, usage: &Usage<'_>) -> Result<(), RatingError> {
        let record = self.record(index, usage)?;
        let (slot, records) = self.attempts.slot(&usage.run, &usage.attempt);
        // What is odd about these leaves was said by an invoice before.
        if let Slot::Live(live) = slot {
            if live.known.judge(records, usage.sort, &record).is_ok() {
                live.take(records, usage.sort, record);
            }
            // What lies before the last cut was known there.
            if index < self.base {
                live.settle(records);
            }
        }
        Ok(())
    }
}
