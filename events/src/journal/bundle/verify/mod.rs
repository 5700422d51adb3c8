//! Checks a bundle, in the order of `ops/audit/VERIFY.md`. The first check that fails is named,
//! and nothing behind it is believed.
//!
//! Every file is read once for its digest, and every tile once more for all the rest, a tile at a
//! time: each leaf is hashed, gone through and taken in one go, and what is wrong with it is kept
//! until its check has its turn. Memory grows with the number of streams and attempts, not with
//! that of events.

mod billing;
mod folder;
mod leaves;
#[cfg(test)]
mod leaves_oracle;
mod money;
mod numbers;
mod signed;
mod sort;
mod tree;

use std::path::Path;

use self::folder::Folder;
use self::leaves::{Envelopes, shown};
use self::money::Money;
use self::tree::Tree;
use super::manifest::Manifest;
use super::{Failure, Reason};
use crate::tlog::VerifierKey;

/// What was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The checks in their order, each with what it counted.
    pub checks: Vec<(Reason, String)>,
    /// What it is, in a line.
    pub summary: String,
    /// The bundle.
    pub manifest: Manifest,
}

/// What is heard of a check while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// So much of it is done.
    Going {
        /// Which one.
        check: Reason,
        /// Bytes or leaves.
        done: u64,
        /// How many there are.
        total: u64,
    },
    /// It holds.
    Passed {
        /// Which one.
        check: Reason,
        /// What it counted, as a sentence.
        found: &'a str,
    },
}

/// Hears of the checks.
pub type Heard<'a> = &'a mut dyn FnMut(Step<'_>);

fn going(heard: &mut dyn FnMut(Step<'_>)) -> impl FnMut(Reason, u64, u64) {
    move |check, done, total| heard(Step::Going { check, done, total })
}

/// A check of one bundle.
struct Verifier<'a, 'h> {
    folder: Folder<'a>,
    manifest: Manifest,
    checks: Vec<(Reason, String)>,
    heard: Heard<'h>,
}

/// Checks the bundle in a folder. The log's key, where it is known from elsewhere, must be the
/// one that signed.
pub fn verify(
    folder: &Path,
    key: Option<&VerifierKey>,
    heard: Heard<'_>,
) -> Result<Verified, Failure> {
    let (folder, manifest, found) = Folder::open(folder, &mut going(heard))?;
    let mut verifier = Verifier { folder, manifest, checks: Vec::new(), heard };
    verifier.passed(Reason::Manifest, found);
    verifier.run(key)
}

impl Verifier<'_, '_> {
    fn run(mut self, key: Option<&VerifierKey>) -> Result<Verified, Failure> {
        let found = signed::check(&self.folder, &self.manifest, key)?;
        self.passed(Reason::Signature, found);
        let mut money =
            self.manifest.period.as_ref().map(|period| Money::new(&self.manifest, period));
        if let Some(money) = &mut money {
            tree::foresee(&self.folder, &self.manifest, |index, leaf| money.foresee(index, leaf));
            money.begin();
        }
        // What is wrong with leaves, their numbers or money is kept until the tree was checked.
        let mut leaves = Envelopes::new(&self.manifest);
        let take = |index, leaf: &[u8]| {
            if let Some(leaf) = leaves.take(index, leaf)
                && let Some(money) = &mut money
            {
                money.take(index, &leaf);
            }
        };
        let tree = Tree::check(&self.folder, &self.manifest, &mut going(self.heard), take)?;
        self.passed(Reason::Root, tree.found());
        let led = tree::consistency(&self.folder, &self.manifest)?;
        self.passed(Reason::Consistency, led);
        leaves.judge()?;
        self.passed(Reason::Leaf, format!("{} leaves are canonical events", tree.events()));
        let streams = leaves.numbers()?;
        self.passed(Reason::Sequence, format!("{streams} streams without a gap"));
        match money {
            Some(money) => self.money(money, &tree),
            None => self.history(&tree),
        }
    }

    fn history(self, tree: &Tree) -> Result<Verified, Failure> {
        let events = tree.events();
        if self.manifest.control.events != events {
            let what = format!("control.events is not {events}");
            return Err(Failure::new(Reason::Manifest, what));
        }
        let log = &self.manifest.log;
        let summary =
            format!("{events} events of {}, up to {}", shown(&self.manifest.tenant), log.end.size);
        Ok(Verified { checks: self.checks, summary, manifest: self.manifest })
    }

    fn money(mut self, money: Money, tree: &Tree) -> Result<Verified, Failure> {
        let rated = money.usage(&self.folder, &self.manifest, tree)?;
        self.passed(Reason::Usage, format!("{} facts, byte for byte", rated.facts()));
        let lines = rated.lines(&self.folder, &self.manifest)?;
        self.passed(Reason::Rating, lines.found());
        let (statement, notes) = lines.invoice(&self.folder, &self.manifest, tree.events())?;
        let number = &statement.number;
        self.passed(Reason::Invoice, format!("{number}, byte for byte; {notes} credit notes"));
        let period = &statement.period;
        let summary = format!(
            "{number} of {} for {}: {} minor units (exponent {}) of {} from {} events",
            shown(&self.manifest.tenant),
            shown(&period.name),
            statement.total_minor,
            period.exponent,
            shown(&period.currency),
            tree.events(),
        );
        Ok(Verified { checks: self.checks, summary, manifest: self.manifest })
    }

    fn passed(&mut self, reason: Reason, found: String) {
        (self.heard)(Step::Passed { check: reason, found: &found });
        self.checks.push((reason, found));
    }
}
