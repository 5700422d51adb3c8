//! Hashes of RFC 6962, section 2.1.

use crate::digest::Sha256Digest;

/// Root of the empty tree: SHA-256 of nothing.
pub fn empty_root() -> Sha256Digest {
    Sha256Digest::of(b"")
}

/// Hash of a leaf: SHA-256(0x00 ‖ bytes).
pub fn leaf_hash(leaf: &[u8]) -> Sha256Digest {
    Sha256Digest::of_parts(&[&[0x00], leaf])
}

/// Hash of a node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Sha256Digest, right: &Sha256Digest) -> Sha256Digest {
    let mut bytes = [0u8; 65];
    bytes[0] = 0x01;
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Sha256Digest::of(&bytes)
}

/// Root of the tree over these leaf hashes.
pub fn root(leaves: &[Sha256Digest]) -> Sha256Digest {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
            node_hash(&root(left), &root(right))
        }
    }
}

/// The largest power of two below `n`, for `n` ≥ 2.
pub(super) fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}
