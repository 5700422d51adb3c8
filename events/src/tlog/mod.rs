//! Logs that can be proven: RFC 6962 trees, proofs over them, and the C2SP text formats in
//! which their heads and tiles travel. Pure: keys and files are elsewhere.

mod bundle;
mod checkpoint;
mod cosignature;
mod edge;
mod extension;
mod frontier;
mod hash;
mod key;
mod note;
mod policy;
mod proof;
mod tile;

pub use bundle::bundle_text;
pub use checkpoint::{Checkpoint, InvalidCheckpoint};
pub use cosignature::{Cosignature, cosigned_message};
pub use edge::Edge;
pub use extension::Extension;
pub use frontier::{Frontier, InvalidFrontier};
pub use hash::{empty_root, leaf_hash, node_hash, root};
pub use key::{KeyKind, VerifierKey, key_id};
pub use note::{MAX_NOTE_BYTES, MAX_SIGNATURES, Note, NoteError, NoteSignature};
pub use policy::{InvalidPolicy, Policy, PolicyError};
pub use proof::{
    ProofError, consistency_proof, consistency_proof_over, inclusion_proof, verify_consistency,
    verify_inclusion,
};
pub use tile::{
    ENTRY_TILE_WIDTH, EntryTileError, InvalidTilePath, MAX_ENTRY_TILE, Tile, TileLevel,
    encode_entries, entries, hash_tile, parse_entries,
};
