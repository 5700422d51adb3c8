//! What is kept in memory of a side: the trees without their leaves.

use std::collections::BTreeMap;

use super::report::{MAX_FINDINGS, SideReport, Suspect};
use super::source::{KeptLeaf, LeafSource, SourceError};
use crate::canonical;
use crate::digest::Sha256Digest;
use crate::envelope::Envelope;
use crate::ids::{Position, TenantId};
use crate::tlog::{ENTRY_TILE_WIDTH, Frontier, leaf_hash, root};

const WIDTH: usize = ENTRY_TILE_WIDTH as usize;

/// One log: hashes of full tiles at each level, and the leaf hashes behind the last full tile.
#[derive(Default)]
pub(super) struct LogTree {
    frontier: Frontier,
    /// `levels[0]` has one hash for each 256 leaves, `levels[1]` for each 65,536, and so on.
    levels: Vec<Vec<Sha256Digest>>,
    tail: Vec<Sha256Digest>,
    /// Where the first leaf of each tile stands, full or not.
    starts: Vec<Position>,
}

impl LogTree {
    pub(super) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(super) fn root(&self) -> Sha256Digest {
        self.frontier.root()
    }

    fn push(&mut self, leaf: Sha256Digest, position: Position) {
        if self.tail.is_empty() {
            self.starts.push(position);
        }
        self.frontier.push(leaf);
        self.tail.push(leaf);
        if self.tail.len() < WIDTH {
            return;
        }
        let mut hash = root(&self.tail);
        self.tail.clear();
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let row = &mut self.levels[level];
            row.push(hash);
            if !row.len().is_multiple_of(WIDTH) {
                return;
            }
            hash = root(&row[row.len() - WIDTH..]);
        }
    }

    /// The first tile of 256 leaves that both have in full and that differs.
    pub(super) fn first_difference(&self, other: &Self) -> Option<u64> {
        let full = |tree: &Self| tree.levels.first().map_or(0, Vec::len);
        let tiles = full(self).min(full(other));
        let mut at = 0;
        for level in (0..self.levels.len().min(other.levels.len())).rev() {
            let span = WIDTH.pow(u32::try_from(level).unwrap_or(u32::MAX));
            while at + span <= tiles {
                if self.levels[level][at / span] != other.levels[level][at / span] {
                    break;
                }
                at += span;
            }
        }
        (at < tiles).then_some(at as u64)
    }

    /// Whether what lies behind the last tile that both have in full agrees, as far as the
    /// hashes that are kept can tell.
    pub(super) fn ends_like(&self, other: &Self) -> bool {
        let (shorter, longer) =
            if self.size() <= other.size() { (self, other) } else { (other, self) };
        if shorter.tail.is_empty() {
            return true;
        }
        let same_tile = shorter.starts.len() == longer.starts.len();
        same_tile && longer.tail.starts_with(&shorter.tail)
    }

    /// Where the first leaf of a tile stands.
    pub(super) fn near(&self, tile: u64) -> Position {
        let tile = usize::try_from(tile).unwrap_or(usize::MAX);
        self.starts.get(tile).copied().unwrap_or(Position(1))
    }
}

/// One side, read once.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) logs: BTreeMap<TenantId, LogTree>,
    leaves: u64,
    suspects: Vec<Suspect>,
    further: u64,
    position: u64,
}

impl Summary {
    pub(super) async fn read(
        source: &dyn LeafSource,
        page: usize,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Self, SourceError> {
        let mut this = Self::default();
        let mut reading = source.read_all().await?;
        loop {
            let leaves = reading.next(page).await?;
            if leaves.is_empty() {
                return Ok(this);
            }
            for leaf in &leaves {
                this.take(leaf);
            }
            progress(this.leaves);
        }
    }

    fn take(&mut self, leaf: &KeptLeaf) {
        self.leaves += 1;
        let hash = leaf_hash(&leaf.bytes);
        if leaf.stated_hash.is_some_and(|stated| stated != hash) {
            self.suspect(leaf, "the leaf does not have the hash that is kept beside it");
        }
        if let Some(position) = leaf.position {
            if position.0 != self.position + 1 {
                let expected = self.position + 1;
                self.suspect(leaf, &format!("position {expected} was expected here"));
            }
            self.position = position.0;
        }
        if canonical::verify(&leaf.bytes).is_err() {
            self.suspect(leaf, "the leaf is not in canonical form");
        }
        let Ok(envelope) = Envelope::parse(&leaf.bytes) else {
            return self.suspect(leaf, "the leaf is not an envelope");
        };
        if let Some(position) = leaf.position.filter(|position| *position != envelope.position) {
            let stated = envelope.position;
            self.suspect(leaf, &format!("it is kept at {position} and says position {stated}"));
        }
        let log = self.logs.entry(envelope.tenant).or_default();
        let index = log.size();
        log.push(hash, leaf.position.unwrap_or(envelope.position));
        if envelope.tenant_sequence != index {
            let stated = envelope.tenant_sequence;
            self.suspect(leaf, &format!("it is leaf {index} of its log and says {stated}"));
        }
    }

    fn suspect(&mut self, leaf: &KeptLeaf, reason: &str) {
        if self.suspects.len() >= MAX_FINDINGS {
            self.further += 1;
            return;
        }
        self.suspects.push(Suspect { position: leaf.position, reason: reason.to_string() });
    }

    pub(super) fn side(&self, name: &str) -> SideReport {
        SideReport {
            name: name.to_string(),
            leaves: self.leaves,
            suspects: self.suspects.clone(),
            further: self.further,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(leaves: u64, changed: Option<u64>) -> LogTree {
        let mut tree = LogTree::default();
        for n in 0..leaves {
            let text = if changed == Some(n) { "changed".to_string() } else { n.to_string() };
            tree.push(leaf_hash(text.as_bytes()), Position(n + 1));
        }
        tree
    }

    /// Three levels of hashes, and changes on both sides of every seam between them.
    #[test]
    fn the_descent_ends_at_the_tile_that_differs() {
        const LEAVES: u64 = 2 * 65_536 + 3 * 256 + 7;
        let good = tree(LEAVES, None);
        assert_eq!(good.levels.iter().map(Vec::len).collect::<Vec<_>>(), [515, 2]);
        assert_eq!((good.first_difference(&good), good.ends_like(&good)), (None, true));
        for changed in [65_535, 65_536, 131_072] {
            let bad = tree(LEAVES, Some(changed));
            assert_eq!(good.first_difference(&bad), Some(changed / 256), "leaf {changed}");
            assert_eq!(bad.first_difference(&good), Some(changed / 256), "leaf {changed}");
        }
        let bad = tree(LEAVES, Some(LEAVES - 1));
        assert_eq!((good.first_difference(&bad), good.ends_like(&bad)), (None, false));
    }
}
