//! Compares two keepings of the record, log by log, and names the first position where they
//! differ.
//!
//! Each side is read once, leaf by leaf; nothing is believed but the bytes. What stays in
//! memory is one hash for each 256 leaves and those above them, so that a difference is found
//! by descending: from the widest subtrees that differ to one tile, whose leaves are then read
//! again from both sides.

mod report;
mod source;
mod sources;
#[cfg(feature = "keys")]
mod tiles;
mod tree;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

pub use report::{Agreement, Difference, LogReport, ReconcileReport, Side, SideReport, Suspect};
pub use source::{KeptLeaf, LeafReading, LeafSource, SourceError};
pub use sources::{CopySource, StoreSource};
#[cfg(feature = "keys")]
pub use tiles::TileSource;

use self::tree::Summary;
use crate::digest::Sha256Digest;
use crate::envelope::Envelope;
use crate::ids::TenantId;
use crate::tlog::{ENTRY_TILE_WIDTH, leaf_hash};

/// Leaves read at a time.
const PAGE: usize = 1_000;

/// Reads both sides and compares all logs. `progress` hears the leaves read so far.
///
/// The side that may lag (a copy) should be `b`, because it is read first: what is appended
/// meanwhile then shows as a lag of `b` and never as one of `a`.
pub async fn reconcile(
    a: &dyn LeafSource,
    b: &dyn LeafSource,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<ReconcileReport, SourceError> {
    let second = Summary::read(b, PAGE, progress).await?;
    let first = Summary::read(a, PAGE, progress).await?;
    let tenants: BTreeSet<&TenantId> = first.logs.keys().chain(second.logs.keys()).collect();
    let mut logs = BTreeMap::new();
    for tenant in tenants {
        let report = compare(tenant, (a, &first), (b, &second)).await?;
        logs.insert(tenant.clone(), report);
    }
    Ok(ReconcileReport { a: first.side(a.name()), b: second.side(b.name()), logs })
}

type Kept<'a> = (&'a dyn LeafSource, &'a Summary);

async fn compare(tenant: &TenantId, a: Kept<'_>, b: Kept<'_>) -> Result<LogReport, SourceError> {
    let empty = tree::LogTree::default();
    let (left, right) =
        (a.1.logs.get(tenant).unwrap_or(&empty), b.1.logs.get(tenant).unwrap_or(&empty));
    let (a_size, b_size) = (left.size(), right.size());
    let common = a_size.min(b_size);
    let agreement = match (left.first_difference(right), left.ends_like(right)) {
        (Some(tile), _) => {
            let found = locate(tenant, tile, common, (a.0, left), (b.0, right)).await?;
            // Where the leaves are the same now, one side was changed between two readings.
            let unsteady = || Difference::unsteady(tile * ENTRY_TILE_WIDTH, left.near(tile));
            Agreement::Differs(Box::new(found.unwrap_or_else(unsteady)))
        }
        (None, true) => by_size(a_size, b_size),
        // The hashes of the shorter one's last leaves are not kept of the longer one.
        (None, false) => {
            let tile = common / ENTRY_TILE_WIDTH;
            let found = locate(tenant, tile, common, (a.0, left), (b.0, right)).await?;
            match found {
                Some(difference) => Agreement::Differs(Box::new(difference)),
                None if a_size == b_size => {
                    let from = tile * ENTRY_TILE_WIDTH;
                    Agreement::Differs(Box::new(Difference::unsteady(from, left.near(tile))))
                }
                None => by_size(a_size, b_size),
            }
        }
    };
    let (a_root, b_root) = (left.root(), right.root());
    Ok(LogReport { a_size, a_root, b_size, b_root, agreement })
}

/// How logs that agree as far as both go stand to each other.
fn by_size(a_size: u64, b_size: u64) -> Agreement {
    match a_size.cmp(&b_size) {
        Ordering::Equal => Agreement::Equal,
        Ordering::Greater => Agreement::Behind { side: Side::B, missing: a_size - b_size },
        Ordering::Less => Agreement::Behind { side: Side::A, missing: b_size - a_size },
    }
}

/// Reads a tile again from both sides and finds the first leaf that differs among those that
/// both have.
async fn locate(
    tenant: &TenantId,
    tile: u64,
    common: u64,
    a: (&dyn LeafSource, &tree::LogTree),
    b: (&dyn LeafSource, &tree::LogTree),
) -> Result<Option<Difference>, SourceError> {
    let from = tile * ENTRY_TILE_WIDTH;
    let count = ENTRY_TILE_WIDTH.min(common.saturating_sub(from));
    let count = usize::try_from(count).unwrap_or(PAGE);
    let left = a.0.leaves(tenant, a.1.near(tile), from, count).await?;
    let right = b.0.leaves(tenant, b.1.near(tile), from, count).await?;
    for (offset, index) in (from..from + count as u64).enumerate() {
        let (left, right) = (left.get(offset), right.get(offset));
        if left.map(|leaf| &leaf.bytes) != right.map(|leaf| &leaf.bytes) {
            return Ok(Some(Difference::new(index, left, right)));
        }
    }
    Ok(None)
}

/// What a leaf says of itself, and its hash.
fn look(leaf: &KeptLeaf) -> (Option<Envelope>, Sha256Digest) {
    (Envelope::parse(&leaf.bytes).ok(), leaf_hash(&leaf.bytes))
}
