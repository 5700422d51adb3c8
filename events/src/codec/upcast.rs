//! Lifts data that an older program wrote to the shape of today.
//!
//! The version of an event's data is its member `dv`; where it is missing, it is 1. A new
//! shape gets the next number and a step from the one before; released steps stay for ever.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The member that holds the version.
pub const VERSION_MEMBER: &str = "dv";

/// The version of data that does not say.
pub const FIRST_VERSION: u64 = 1;

/// One step: data of one version in, data of the next one out.
pub type Step = fn(Map<String, Value>) -> Result<Map<String, Value>, String>;

/// Why data could not be lifted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpcastError {
    /// A newer program wrote it.
    #[error("{kind} has data version {version}, this program reads up to {current}")]
    TooNew {
        /// Type of the event.
        kind: String,
        /// The version that is there.
        version: u64,
        /// The version that is read.
        current: u64,
    },
    /// Nobody knows this version.
    #[error("{kind} has data version {version}, from which no step leads on")]
    NoStep {
        /// Type of the event.
        kind: String,
        /// The version that is there.
        version: u64,
    },
    /// The version is not a number.
    #[error("the data version of {kind} is not a whole number")]
    Version {
        /// Type of the event.
        kind: String,
    },
    /// The data is not what its version says.
    #[error("{kind} of data version {version} cannot be read: {reason}")]
    Step {
        /// Type of the event.
        kind: String,
        /// The version that is there.
        version: u64,
        /// What is wrong.
        reason: String,
    },
}

/// The steps of all types.
#[derive(Debug, Clone, Default)]
pub struct Upcasters {
    steps: BTreeMap<(String, u64), Step>,
    current: BTreeMap<String, u64>,
}

impl Upcasters {
    /// No steps: everything is read as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the step of a type from a version to the next one.
    ///
    /// # Panics
    /// When the step is there already: two meanings for one shape are a mistake in the code.
    pub fn add(mut self, kind: &str, from: u64, step: Step) -> Self {
        let before = self.steps.insert((kind.to_string(), from), step);
        assert!(before.is_none(), "the step of {kind} from version {from} is there twice");
        let current = self.current.entry(kind.to_string()).or_insert(FIRST_VERSION);
        *current = (*current).max(from + 1);
        self
    }

    /// The version that is written today.
    pub fn current(&self, kind: &str) -> u64 {
        self.current.get(kind).copied().unwrap_or(FIRST_VERSION)
    }

    /// Marks data of today with its version, where it needs one.
    pub fn stamp(&self, kind: &str, data: &mut Map<String, Value>) {
        match self.current(kind) {
            FIRST_VERSION => {}
            version => drop(data.insert(VERSION_MEMBER.to_string(), Value::from(version))),
        }
    }

    /// Lifts data to the version of today, and takes the version out of it.
    pub fn lift(
        &self,
        kind: &str,
        mut data: Map<String, Value>,
    ) -> Result<Map<String, Value>, UpcastError> {
        let name = || kind.to_string();
        let mut version = match data.remove(VERSION_MEMBER) {
            None => FIRST_VERSION,
            Some(value) => value.as_u64().ok_or_else(|| UpcastError::Version { kind: name() })?,
        };
        let current = self.current(kind);
        if version > current {
            return Err(UpcastError::TooNew { kind: name(), version, current });
        }
        while version < current {
            let step = self
                .steps
                .get(&(name(), version))
                .ok_or_else(|| UpcastError::NoStep { kind: name(), version })?;
            data =
                step(data).map_err(|reason| UpcastError::Step { kind: name(), version, reason })?;
            version += 1;
        }
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A made-up version 0 of `attempt.exited` kept the exit code as text under `status`.
    fn exited_from_0(mut data: Map<String, Value>) -> Result<Map<String, Value>, String> {
        let status = data.remove("status").ok_or("`status` is missing")?;
        let code = status.as_str().and_then(|text| text.parse::<i64>().ok());
        data.insert("exit_code".to_string(), code.ok_or("`status` is not a number")?.into());
        Ok(data)
    }

    /// A made-up version 2 counts in milliseconds.
    fn exited_from_1(mut data: Map<String, Value>) -> Result<Map<String, Value>, String> {
        let seconds = data.remove("took").and_then(|took| took.as_u64()).unwrap_or(0);
        data.insert("took_ms".to_string(), (seconds * 1_000).into());
        Ok(data)
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn version_0_reads_like_version_1() {
        let upcasters = Upcasters::new().add("attempt.exited", 0, exited_from_0);
        let old = object(json!({"dv": 0, "status": "137", "step": "train"}));
        let new = object(json!({"exit_code": 137, "step": "train"}));
        assert_eq!(upcasters.lift("attempt.exited", old), Ok(new.clone()));
        assert_eq!(upcasters.lift("attempt.exited", new.clone()), Ok(new));
    }

    #[test]
    fn steps_follow_one_another() {
        let upcasters = Upcasters::new().add("attempt.exited", 0, exited_from_0).add(
            "attempt.exited",
            1,
            exited_from_1,
        );
        let old = object(json!({"dv": 0, "status": "1", "took": 2}));
        let mut new = object(json!({"exit_code": 1, "took_ms": 2000}));
        assert_eq!(upcasters.lift("attempt.exited", old), Ok(new.clone()));
        upcasters.stamp("attempt.exited", &mut new);
        assert_eq!(new.get("dv"), Some(&json!(2)));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let upcasters = Upcasters::new().add("attempt.exited", 0, exited_from_0);
        let lift = |kind: &str, data: Value| {
            upcasters.lift(kind, object(data)).expect_err("refused").to_string()
        };
        assert_eq!(
            lift("attempt.exited", json!({"dv": 9})),
            "attempt.exited has data version 9, this program reads up to 1"
        );
        assert_eq!(
            lift("run.ended", json!({"dv": 0})),
            "run.ended has data version 0, from which no step leads on"
        );
        assert_eq!(
            lift("attempt.exited", json!({"dv": 0})),
            "attempt.exited of data version 0 cannot be read: `status` is missing"
        );
        assert_eq!(
            lift("attempt.exited", json!({"dv": "x"})),
            "the data version of attempt.exited is not a whole number"
        );
    }
}
