//! What is wanted, in whole days.

use serde::{Deserialize, Serialize};

use crate::time::Millis;

/// The most days that can be named: a hundred years.
pub const MAX_DAYS: u32 = 36_500;

/// Milliseconds in a day.
const DAY: u64 = 24 * 3_600 * 1_000;

/// A policy. What is absent is kept for good, or as the site says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// Days after the end of a run for which its logs are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs_days: Option<u32>,
    /// Days after the end of a run for which content that only it refers to is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blobs_days: Option<u32>,
    /// Site: days for which cached results are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_days: Option<u32>,
    /// Site: days after which idempotency keys of appends are forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_days: Option<u32>,
    /// Site: days after which events leave the store for the tiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_days: Option<u32>,
    /// Site: days that everything is kept at least, whatever a tenant says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least_days: Option<u32>,
}

impl Policy {
    fn all(&self) -> [(&'static str, Option<u32>); 6] {
        [
            ("logs_days", self.logs_days),
            ("blobs_days", self.blobs_days),
            ("cache_days", self.cache_days),
            ("keys_days", self.keys_days),
            ("archive_days", self.archive_days),
            ("at_least_days", self.at_least_days),
        ]
    }

    /// Says what is wrong with it.
    ///
    /// # Errors
    /// Names the first member that makes no sense.
    pub fn check(&self, of_site: bool) -> Result<(), String> {
        for (name, days) in self.all() {
            if days.is_some_and(|days| days == 0 || days > MAX_DAYS) {
                return Err(format!("{name} is 1 to {MAX_DAYS} days"));
            }
            if days.is_some() && !of_site && !["logs_days", "blobs_days"].contains(&name) {
                return Err(format!("{name} is the site's to say, not a tenant's"));
            }
        }
        Ok(())
    }
}

/// What holds for a tenant: its own policy within the site's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effective {
    site: Policy,
    tenant: Policy,
}

fn days(days: u32) -> Millis {
    Millis(u64::from(days) * DAY)
}

impl Effective {
    /// The site's policy, and the tenant's within it.
    pub fn new(site: Policy, tenant: Policy) -> Self {
        Self { site, tenant }
    }

    fn at_least(&self, wanted: Option<u32>) -> Option<Millis> {
        wanted.map(|wanted| days(wanted.max(self.site.at_least_days.unwrap_or(0))))
    }

    /// For how long logs are kept after their run.
    pub fn logs(&self) -> Option<Millis> {
        self.at_least(self.tenant.logs_days.or(self.site.logs_days))
    }

    /// For how long content is kept after the last run that refers to it.
    pub fn blobs(&self) -> Option<Millis> {
        self.at_least(self.tenant.blobs_days.or(self.site.blobs_days))
    }

    /// For how long cached results are kept: never longer than content, which they name.
    pub fn cache(&self) -> Option<Millis> {
        let shortest = [self.site.cache_days, self.site.blobs_days].into_iter().flatten().min();
        shortest.map(days)
    }

    /// For how long keys of appends are kept.
    pub fn keys(&self) -> Option<Millis> {
        self.site.keys_days.map(days)
    }

    /// How old events are when they leave the store.
    pub fn archive(&self) -> Option<Millis> {
        self.at_least(self.site.archive_days)
    }
}
