//! A consistency proof that grows with the log: the leaves behind the older head pass by once,
//! and only what the proof needs is kept.

use super::frontier::Frontier;
use super::proof::{ProofError, consistency_proof_over};
use crate::digest::Sha256Digest;

/// Collects the proof that a log of `newer` leaves extends an older one, in memory that does
/// not grow with the number of leaves between.
#[derive(Debug, Clone)]
pub struct Extension {
    older: Frontier,
    newer: u64,
    at: u64,
    /// Ranges behind the older log whose roots the proof needs: apart from each other.
    ranges: Vec<(u64, u64, Frontier)>,
}

impl Extension {
    /// From the frontier of the older log on. Fails where it is larger than the newer one.
    pub fn new(older: Frontier, newer: u64) -> Result<Self, ProofError> {
        let wanted = std::cell::RefCell::new(Vec::new());
        let size = older.size();
        let placeholder = Sha256Digest([0; 32]);
        consistency_proof_over(size, newer, |start, end| {
            if end > size {
                wanted.borrow_mut().push((start, end, Frontier::new()));
            }
            Some(placeholder)
        })?;
        Ok(Self { at: size, older, newer, ranges: wanted.into_inner() })
    }

    /// The next leaf behind the older log. Leaves beyond the newer one are not looked at.
    pub fn push(&mut self, leaf: Sha256Digest) {
        let at = self.at;
        for (start, end, frontier) in &mut self.ranges {
            if (*start..*end).contains(&at) {
                frontier.push(leaf);
            }
        }
        self.at += 1;
    }

    /// The proof, once all leaves of the newer log have passed.
    pub fn proof(&self) -> Result<Vec<Sha256Digest>, ProofError> {
        let size = self.older.size();
        consistency_proof_over(size, self.newer, |start, end| {
            if end <= size {
                return self.older.peak_over(start, end);
            }
            let (_, _, frontier) = self.ranges.iter().find(|(s, e, _)| (*s, *e) == (start, end))?;
            (frontier.size() == end - start).then(|| frontier.root())
        })
    }
}
