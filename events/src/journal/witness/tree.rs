//! One tenant's tree, as far as a witness needs it: the frontier now, the frontier at the head
//! that it co-signed last, and the leaves between, as long as they are few.

use std::collections::BTreeMap;

use crate::digest::Sha256Digest;
use crate::ids::Position;
use crate::tlog::Frontier;

/// Hashes of leaves that are held at most. Where there are more, the copy is read again.
const MAX_NEWS: usize = 65_536;

/// Frontiers at sizes of heads that came before their leaves.
const MAX_CAPTURED: usize = 64;

/// A frontier, and the position of its last leaf.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Known {
    pub(super) frontier: Frontier,
    pub(super) position: Position,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tree {
    base: Known,
    current: Known,
    /// Leaves between the two; `None` where they were too many, or before a restart.
    news: Option<Vec<(Sha256Digest, Position)>>,
    captured: BTreeMap<u64, Known>,
    /// The size that was co-signed last, by the signer's memory.
    anchor: Option<u64>,
}

impl Tree {
    /// An empty tree, whose frontier at the anchor is to be kept.
    pub(super) fn new(anchor: Option<u64>) -> Self {
        Self { anchor, news: Some(Vec::new()), ..Self::default() }
    }

    /// A tree as it was kept.
    pub(super) fn at(base: Known, current: Known) -> Self {
        let news = (base == current).then(Vec::new);
        let anchor = Some(base.frontier.size());
        Self { base, current, news, captured: BTreeMap::new(), anchor }
    }

    pub(super) fn size(&self) -> u64 {
        self.current.frontier.size()
    }

    pub(super) fn base(&self) -> &Known {
        &self.base
    }

    pub(super) fn current(&self) -> &Known {
        &self.current
    }

    /// Adds a leaf; `wanted` tells of sizes whose frontiers will be asked for.
    pub(super) fn push(
        &mut self,
        hash: Sha256Digest,
        position: Position,
        wanted: impl Fn(u64) -> bool,
    ) {
        self.current.frontier.push(hash);
        self.current.position = position;
        match &mut self.news {
            Some(news) if news.len() < MAX_NEWS => news.push((hash, position)),
            news => *news = None,
        }
        let size = self.size();
        if self.anchor == Some(size) || (wanted(size) && self.captured.len() < MAX_CAPTURED) {
            self.captured.insert(size, self.current.clone());
        }
    }

    /// The frontier at a size, where it is at hand.
    pub(super) fn known(&self, size: u64) -> Option<Known> {
        let places = [&self.base, &self.current];
        let found = places.into_iter().find(|known| known.frontier.size() == size);
        found.or_else(|| self.captured.get(&size)).cloned()
    }

    /// The largest frontier at hand that is not beyond a size.
    pub(super) fn known_up_to(&self, size: u64) -> Known {
        let places = [&self.base, &self.current].into_iter().chain(self.captured.values());
        let fits = places.filter(|known| known.frontier.size() <= size);
        fits.max_by_key(|known| known.frontier.size()).cloned().unwrap_or_default()
    }

    /// The leaves behind a frontier, where they are at hand.
    pub(super) fn news_from(
        &self,
        start: &Known,
    ) -> Option<impl Iterator<Item = (Sha256Digest, Position)> + '_> {
        let skip = start.frontier.size().checked_sub(self.base.frontier.size())?;
        let news = self.news.as_ref()?;
        Some(news.get(usize::try_from(skip).ok()?..)?.iter().copied())
    }

    /// How many leaves are held.
    pub(super) fn held(&self) -> usize {
        self.news.as_ref().map_or(0, Vec::len)
    }

    /// Holds the leaves no longer, until the next head is co-signed.
    pub(super) fn forget_news(&mut self) {
        if self.held() > 0 {
            self.news = None;
        }
    }

    /// Makes a frontier the one at which the leaves between begin.
    pub(super) fn rebase(&mut self, base: Known) {
        if base.frontier.size() < self.base.frontier.size() {
            return;
        }
        let size = base.frontier.size();
        let gone = size - self.base.frontier.size();
        self.news = match self.news.take() {
            Some(news) => {
                usize::try_from(gone).ok().and_then(|gone| Some(news.get(gone..)?.to_vec()))
            }
            None => (size == self.size()).then(Vec::new),
        };
        self.captured = self.captured.split_off(&(size + 1));
        self.anchor = Some(size);
        self.base = base;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> Sha256Digest {
        Sha256Digest::of(&n.to_be_bytes())
    }

    fn grow(tree: &mut Tree, leaves: std::ops::Range<u64>) {
        leaves.for_each(|n| tree.push(hash(n), Position(n + 1), |_| false));
    }

    #[test]
    fn what_was_forgotten_is_not_taken_for_nothing_and_what_comes_later_is_held_again() {
        let mut tree = Tree::new(None);
        tree.forget_news();
        grow(&mut tree, 0..10);
        assert_eq!(tree.held(), 10);
        assert_eq!(tree.news_from(&Known::default()).map(Iterator::count), Some(10));
        tree.forget_news();
        grow(&mut tree, 10..20);
        assert_eq!(tree.held(), 0);
        assert!(tree.news_from(&Known::default()).is_none(), "ten of twenty are no proof");
        assert_eq!(tree.size(), 20);
        tree.rebase(tree.current().clone());
        grow(&mut tree, 20..23);
        let base = tree.base().clone();
        assert_eq!(tree.news_from(&base).map(Iterator::count), Some(3));
    }
}
