//! What a witness needs to know to judge a head, and how it is gathered in one walk.

use std::collections::BTreeMap;

use super::tree::Known;
use crate::digest::Sha256Digest;
use crate::ids::Position;
use crate::tlog::Extension;

/// What is known of a log at the sizes that matter.
#[derive(Default)]
pub(super) struct Evidence {
    pub(super) known: BTreeMap<u64, Known>,
    /// The proof from the head that was co-signed last.
    pub(super) extension: Option<Extension>,
}

impl Evidence {
    pub(super) fn root(&self, size: u64) -> Option<Sha256Digest> {
        self.known.get(&size).map(|known| known.frontier.root())
    }
}

/// A walk over the leaves behind a known place.
pub(super) struct Walk {
    pub(super) at: Known,
    /// Sizes whose frontiers are wanted.
    pub(super) missing: Vec<u64>,
    /// The size at which the proof begins, where one is needed.
    pub(super) proven: Option<u64>,
    /// The size at which it ends.
    pub(super) target: u64,
}

impl Walk {
    /// The next leaf.
    pub(super) fn step(&mut self, hash: Sha256Digest, position: Position, evidence: &mut Evidence) {
        if self.proven == Some(self.at.frontier.size()) {
            evidence.extension = Extension::new(self.at.frontier.clone(), self.target).ok();
        }
        if let Some(extension) = &mut evidence.extension {
            extension.push(hash);
        }
        self.at.frontier.push(hash);
        self.at.position = position;
        let size = self.at.frontier.size();
        if self.missing.contains(&size) {
            evidence.known.insert(size, self.at.clone());
        }
    }
}
