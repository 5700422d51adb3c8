//! Logs that can be proven: RFC 6962 trees, proofs over them, and the C2SP text formats in
//! which their heads and tiles travel. Pure: keys and files are elsewhere.

mod checkpoint;
mod frontier;
mod hash;
mod note;
mod proof;
mod tile;

pub use checkpoint::{Checkpoint, InvalidCheckpoint};
pub use frontier::{Frontier, InvalidFrontier};
pub use hash::{empty_root, leaf_hash, node_hash, root};
pub use note::{Note, NoteError, NoteSignature, VerifierKey, key_id};
pub use proof::{
    ProofError, consistency_proof, consistency_proof_over, inclusion_proof, verify_consistency,
    verify_inclusion,
};
pub use tile::{
    ENTRY_TILE_WIDTH, EntryTileError, InvalidTilePath, Tile, TileLevel, encode_entries, hash_tile,
    parse_entries,
};
