//! Fair shares: who of the tenants that wait in one lane goes first.
//!
//! A tenant below its fair share goes before one that has it. Of those below, the one goes first
//! that was served least for its weight (its *pass*): so shares smaller than one place come out
//! right over time. Of those that have their share, the one with the smallest part goes first.

use std::collections::{BTreeMap, BTreeSet};

/// A whole pool, as a share.
pub(super) const SCALE: u64 = 1 << 40;

/// Different shares below the fair one that are looked at, at most.
const LEVELS_MAX: usize = 16;

/// Where a tenant stands in a pool. The smallest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// It has its fair share or more.
    pub(super) is_served: bool,
    /// Its part for its weight, where that decides.
    pub(super) share: u64,
    /// What it was given so far for its weight.
    pub(super) pass: u128,
    /// The tenant.
    pub(super) tenant: u32,
}

impl Rank {
    pub(super) fn new(share: u64, pass: u128, tenant: u32, level: u64) -> Self {
        match is_below(share, level) {
            true => Self { is_served: false, share: 0, pass, tenant },
            false => Self { is_served: true, share, pass, tenant },
        }
    }
}

/// Whether a share is less than the fair one by more than what rounding makes.
pub(super) fn is_below(share: u64, level: u64) -> bool {
    share.saturating_add((level >> 20) + 1_000) < level
}

/// Tenants in their order.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    by_share: BTreeMap<u64, BTreeSet<(u128, u32)>>,
}

impl Ranks {
    pub(super) fn insert(&mut self, share: u64, pass: u128, tenant: u32) {
        self.by_share.entry(share).or_default().insert((pass, tenant));
    }

    pub(super) fn remove(&mut self, share: u64, pass: u128, tenant: u32) {
        if let Some(set) = self.by_share.get_mut(&share) {
            set.remove(&(pass, tenant));
            if set.is_empty() {
                self.by_share.remove(&share);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_share.is_empty()
    }

    /// Who goes first under a fair share.
    pub(super) fn first(&self, level: u64) -> Option<Rank> {
        let ranks = self.by_share.iter().take(LEVELS_MAX).filter_map(|(share, set)| {
            let (pass, tenant) = *set.first()?;
            Some(Rank::new(*share, pass, tenant, level))
        });
        ranks.min()
    }
}
