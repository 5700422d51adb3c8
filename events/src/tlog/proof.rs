//! Inclusion and consistency proofs (RFC 6962, sections 2.1.1 and 2.1.2; the verifying
//! algorithms are those of RFC 9162, sections 2.1.3.2 and 2.1.4.2).

use super::hash::{node_hash, root, split};
use crate::digest::Sha256Digest;

/// Why a proof is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index or the older size is not within the tree.
    #[error("the index or the older size is beyond the tree")]
    OutOfRange,
    /// It has too few or too many hashes.
    #[error("the proof has a wrong number of hashes")]
    Length,
    /// It leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// Proves that the leaf at `index` is in the tree over `leaves`.
pub fn inclusion_proof(
    index: u64,
    leaves: &[Sha256Digest],
) -> Result<Vec<Sha256Digest>, ProofError> {
    if index >= leaves.len() as u64 {
        return Err(ProofError::OutOfRange);
    }
    let mut proof = Vec::new();
    let (mut leaves, mut index) = (leaves, index);
    while leaves.len() > 1 {
        let k = split(leaves.len() as u64);
        let (left, right) = leaves.split_at(k as usize);
        if index < k {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            leaves = right;
            index -= k;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Proves that the tree over all `leaves` extends the tree over the first `older` of them.
pub fn consistency_proof(
    older: u64,
    leaves: &[Sha256Digest],
) -> Result<Vec<Sha256Digest>, ProofError> {
    let range = |start: u64, end: u64| Some(root(&leaves[start as usize..end as usize]));
    consistency_proof_over(older, leaves.len() as u64, range)
}

/// The same for whoever can tell the root over a range of leaves: only ranges that are perfect
/// subtrees of the older tree, or lie behind it, are asked for. A range that is not known
/// makes the proof impossible ([`ProofError::OutOfRange`]).
pub fn consistency_proof_over(
    older: u64,
    newer: u64,
    range_root: impl Fn(u64, u64) -> Option<Sha256Digest>,
) -> Result<Vec<Sha256Digest>, ProofError> {
    if older > newer {
        return Err(ProofError::OutOfRange);
    }
    if older == 0 || older == newer {
        return Ok(Vec::new());
    }
    let known = |start, end| range_root(start, end).ok_or(ProofError::OutOfRange);
    let mut proof = Vec::new();
    let (mut start, mut end) = (0, newer);
    let mut whole = true;
    while older < end {
        let middle = start + split(end - start);
        if older <= middle {
            proof.push(known(middle, end)?);
            end = middle;
        } else {
            proof.push(known(start, middle)?);
            start = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(known(start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks an inclusion proof.
pub fn verify_inclusion(
    leaf: &Sha256Digest,
    index: u64,
    size: u64,
    proof: &[Sha256Digest],
    expected: &Sha256Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    match (last == 0, hash == *expected) {
        (false, _) => Err(ProofError::Length),
        (true, false) => Err(ProofError::Root),
        (true, true) => Ok(()),
    }
}

/// Checks a consistency proof between two heads.
pub fn verify_consistency(
    older: (u64, &Sha256Digest),
    newer: (u64, &Sha256Digest),
    proof: &[Sha256Digest],
) -> Result<(), ProofError> {
    let ((m, older_root), (n, newer_root)) = (older, newer);
    if m > n {
        return Err(ProofError::OutOfRange);
    }
    if m == n || m == 0 {
        return match (proof.is_empty(), m == 0 || older_root == newer_root) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    // A perfect older tree is itself the first hash of the path, and the proof leaves it out.
    let mut path = proof.iter();
    let first = match m.is_power_of_two() {
        true => *older_root,
        false => *path.next().ok_or(ProofError::Length)?,
    };
    let (mut node, mut last) = (m - 1, n - 1);
    let shift = node.trailing_ones();
    node >>= shift;
    last >>= shift;
    let (mut old_hash, mut new_hash) = (first, first);
    for hash in path {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(hash, &old_hash);
            new_hash = node_hash(hash, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    match (last == 0, old_hash == *older_root && new_hash == *newer_root) {
        (false, _) => Err(ProofError::Length),
        (true, false) => Err(ProofError::Root),
        (true, true) => Ok(()),
    }
}
