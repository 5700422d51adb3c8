//! What a tenant, or the whole site, may use at one time. A recorded fact: `quota.set`.

use serde::{Deserialize, Serialize};

/// The weight of a tenant for which none is set.
pub const WEIGHT_DEFAULT: u32 = 100;
/// The heaviest weight.
pub const WEIGHT_MAX: u32 = 10_000;
/// The largest count of runs, attempts or GPUs that can be set.
pub const COUNT_MAX: u32 = 1_000_000;
/// The most thousandths of a core that can be set: a million cores.
pub const CPU_MILLI_MAX: u64 = 1_000_000_000;
/// The most bytes of memory that can be set: an exbibyte.
pub const MEMORY_BYTES_MAX: u64 = 1 << 60;

/// What a tenant may use at one time, and its weight against others. What is not said is not
/// bounded; zero means none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quota {
    /// Its part of what is short, against other tenants' weights: 1 to [`WEIGHT_MAX`]; none:
    /// [`WEIGHT_DEFAULT`]. Of a site it means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Runs that are accepted and not over. One more is refused at submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_runs: Option<u32>,
    /// Runs between the first attempt of their main part (in a concurrency group: their place in
    /// it) and their end. One more waits. Runs that a sub-DAG step asked for belong to the run
    /// that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_runs: Option<u32>,
    /// Attempts that are planned and not at their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Thousandths of a core that these ask for, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<u64>,
    /// Bytes of memory that these ask for, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// GPUs that these ask for, together, of whatever model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
}

/// A quota that cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` must be from {least} to {most}; {given} was given")]
pub struct InvalidQuota {
    /// The field.
    pub field: &'static str,
    /// What was given.
    pub given: u64,
    /// The least that it may be.
    pub least: u64,
    /// The most that it may be.
    pub most: u64,
}

impl Quota {
    /// The weight that counts.
    pub fn weight(&self) -> u32 {
        self.weight.unwrap_or(WEIGHT_DEFAULT).clamp(1, WEIGHT_MAX)
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// The first field that is out of its range, with the range.
    pub fn validate(&self) -> Result<(), InvalidQuota> {
        let count = u64::from(COUNT_MAX);
        let of = |value: Option<u32>| value.map(u64::from);
        for (field, value, least, most) in [
            ("weight", of(self.weight), 1, u64::from(WEIGHT_MAX)),
            ("open_runs", of(self.open_runs), 0, count),
            ("running_runs", of(self.running_runs), 0, count),
            ("attempts", of(self.attempts), 0, count),
            ("cpu_milli", self.cpu_milli, 0, CPU_MILLI_MAX),
            ("memory_bytes", self.memory_bytes, 0, MEMORY_BYTES_MAX),
            ("gpus", of(self.gpus), 0, count),
        ] {
            if let Some(given) = value.filter(|value| !(least..=most).contains(value)) {
                return Err(InvalidQuota { field, given, least, most });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_not_written_and_reads_back() {
        let quota = Quota { weight: Some(300), attempts: Some(4), ..Quota::default() };
        let text = serde_json::to_string(&quota).expect("plain data");
        assert_eq!(text, r#"{"weight":300,"attempts":4}"#);
        assert_eq!(serde_json::from_str::<Quota>(&text).expect("what was written"), quota);
        assert_eq!(Quota::default().weight(), WEIGHT_DEFAULT);
    }

    #[test]
    fn a_quota_out_of_range_names_its_field_and_the_range() {
        let none = Quota { weight: Some(0), ..Quota::default() };
        let refused = none.validate().expect_err("no weight");
        assert_eq!(refused.to_string(), "`weight` must be from 1 to 10000; 0 was given");
        let huge = Quota { memory_bytes: Some(u64::MAX), ..Quota::default() };
        assert_eq!(huge.validate().expect_err("too much").field, "memory_bytes");
        let zero = Quota { attempts: Some(0), running_runs: Some(0), ..Quota::default() };
        assert_eq!(zero.validate(), Ok(()));
    }
}
