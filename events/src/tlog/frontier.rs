//! The frontier (compact range): all that is needed to add leaves and to know the root.

use super::hash::{empty_root, node_hash};
use crate::digest::Sha256Digest;

/// Bytes that are not a frontier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a frontier of {size} leaves has {expected} hashes of 32 bytes, {actual} bytes are there")]
pub struct InvalidFrontier {
    /// Leaves.
    pub size: u64,
    /// Hashes for that many leaves.
    pub expected: u32,
    /// Bytes that were given.
    pub actual: usize,
}

/// Roots of the perfect subtrees that make up a log, widest first: one for each bit that is
/// set in its size, so at most 64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Sha256Digest>,
}

impl Frontier {
    /// The frontier of an empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, widest first.
    pub fn peaks(&self) -> &[Sha256Digest] {
        &self.peaks
    }

    /// Adds a leaf by its hash. Amortised one node hash.
    pub fn push(&mut self, leaf: Sha256Digest) {
        let mut node = leaf;
        // Every trailing one bit of the size is a perfect subtree as wide as the new node.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The RFC 6962 root.
    pub fn root(&self) -> Sha256Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }

    /// A frontier of perfect subtrees whose roots are known, widest first. `None` where there
    /// are not as many as the size wants.
    pub fn from_peaks(size: u64, peaks: Vec<Sha256Digest>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// The peaks, 32 bytes each, widest first.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.peaks.iter().flat_map(|peak| peak.0).collect()
    }

    /// Reads what [`Frontier::to_bytes`] wrote for a log of this size.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, InvalidFrontier> {
        let expected = size.count_ones();
        let (chunks, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || chunks.len() != expected as usize {
            return Err(InvalidFrontier { size, expected, actual: bytes.len() });
        }
        Ok(Self { size, peaks: chunks.iter().map(|chunk| Sha256Digest(*chunk)).collect() })
    }

    /// The root of the perfect subtree over these leaves, if it is one of the peaks.
    pub fn peak_over(&self, start: u64, end: u64) -> Option<Sha256Digest> {
        let mut at = 0;
        let mut rest = self.size;
        for peak in &self.peaks {
            let width = 1u64 << (63 - rest.leading_zeros());
            if at == start && at + width == end {
                return Some(*peak);
            }
            at += width;
            rest -= width;
        }
        None
    }
}
