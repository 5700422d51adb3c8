//! `limits` and `pools`: bounds of the whole site, and what executors have to give.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::admission::{COUNT_MAX, CPU_MILLI_MAX, Capacity, MEMORY_BYTES_MAX, Quota};
use serde::Deserialize;

/// Most pools that can be named.
const MOST_POOLS: usize = 1_000;

/// Bounds of the site, and what pools have to give. What is not said is not bounded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// What all tenants together may use.
    pub site: Quota,
    /// What executors have, by name.
    pub pools: BTreeMap<String, Capacity>,
}

impl Limits {
    /// What a pool has to give whose executor runs so many attempts at one time.
    pub fn capacity(&self, pool: &str, slots: u32) -> Capacity {
        let mut capacity = self.pools.get(pool).cloned().unwrap_or_default();
        capacity.places = Some(capacity.places.map_or(slots, |places| places.min(slots)));
        capacity
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteLimits {
    open_runs: Option<u32>,
    running_runs: Option<u32>,
    attempts: Option<u32>,
    cpu_milli: Option<u64>,
    memory_bytes: Option<u64>,
    gpus: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolLimits {
    places: Option<u32>,
    cpu_milli: Option<u64>,
    memory_bytes: Option<u64>,
    gpus: Option<BTreeMap<String, u32>>,
}

/// `[limits]`.
pub(super) fn site(table: toml::Table) -> Result<Quota, String> {
    let said: SiteLimits = table.try_into().map_err(|error| problem("limits", &error))?;
    let quota = Quota {
        weight: None,
        open_runs: said.open_runs,
        running_runs: said.running_runs,
        attempts: said.attempts,
        cpu_milli: said.cpu_milli,
        memory_bytes: said.memory_bytes,
        gpus: said.gpus,
    };
    quota.validate().map_err(|error| format!("`limits`: {error}"))?;
    Ok(quota)
}

/// `[pools.NAME]`.
pub(super) fn pools(table: toml::Table) -> Result<BTreeMap<String, Capacity>, String> {
    if table.len() > MOST_POOLS {
        return Err(format!("`pools` names more than {MOST_POOLS} pools"));
    }
    table.into_iter().map(|(name, value)| Ok((name.clone(), pool(&name, value)?))).collect()
}

fn pool(name: &str, value: toml::Value) -> Result<Capacity, String> {
    let said: PoolLimits =
        value.try_into().map_err(|error| problem(&format!("pools.{name}"), &error))?;
    let gpus = said.gpus.as_ref().map(|gpus| gpus.values().copied().max().unwrap_or(0));
    for (field, given, most) in [
        ("places", said.places.map(u64::from), u64::from(COUNT_MAX)),
        ("cpu_milli", said.cpu_milli, CPU_MILLI_MAX),
        ("memory_bytes", said.memory_bytes, MEMORY_BYTES_MAX),
        ("gpus", gpus.map(u64::from), u64::from(COUNT_MAX)),
    ] {
        if given.is_some_and(|given| given > most) {
            return Err(format!("`pools.{name}.{field}` must be at most {most}"));
        }
    }
    let gpus = said
        .gpus
        .map(|gpus| gpus.into_iter().map(|(model, n)| (Arc::from(model.as_str()), n)).collect());
    let (places, cpu_milli, memory_bytes) = (said.places, said.cpu_milli, said.memory_bytes);
    Ok(Capacity { places, cpu_milli, memory_bytes, gpus })
}

/// The text of a variable is what would stand below the heading in the file.
pub(super) fn table(key: &str, text: &str) -> Result<toml::Table, String> {
    text.parse().map_err(|error: toml::de::Error| problem(key, &error))
}

fn problem(key: &str, error: &toml::de::Error) -> String {
    format!("`{key}`: {}", error.message().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_and_its_pools_are_bounded_by_what_is_said() {
        let site = site(table("limits", "attempts = 40\nrunning_runs = 8").expect("a table"));
        let wanted = Quota { attempts: Some(40), running_runs: Some(8), ..Quota::default() };
        assert_eq!(site, Ok(wanted));
        let text = "[gpu]\nplaces = 16\ngpus = { H200 = 8 }\n[local]\nmemory_bytes = 1024";
        let pools = pools(table("pools", text).expect("a table")).expect("two pools");
        let limits = Limits { site: Quota::default(), pools };
        let gpu = limits.capacity("gpu", 99);
        assert_eq!((gpu.places, gpu.gpus.expect("GPUs")["H200"]), (Some(16), 8));
        let local = limits.capacity("local", 3);
        assert_eq!((local.places, local.memory_bytes), (Some(3), Some(1_024)));
        assert_eq!(limits.capacity("other", 5), Capacity::places(5));
    }

    #[test]
    fn what_is_not_known_or_too_large_is_a_problem() {
        let told = |text: &str| site(table("limits", text).expect("a table")).expect_err(text);
        assert!(told("attempt = 4").contains("`limits`: unknown field `attempt`"));
        assert!(told("gpus = 2000000").contains("must be from 0 to 1000000"));
        let told = |text: &str| pools(table("pools", text).expect("a table")).expect_err(text);
        assert!(told("[x]\nslots = 4").contains("`pools.x`: unknown field `slots`"));
        assert!(told("[x]\nplaces = 2000000").contains("`pools.x.places` must be at most"));
    }
}
