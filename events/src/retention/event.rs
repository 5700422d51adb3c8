//! What is recorded of retention, and its fold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::policy::Policy;
use crate::aggregate::{Aggregate, AggregateEvent};
use crate::ids::RunId;
use crate::time::Timestamp;

/// Holds of one tenant at one time.
const MAX_HOLDS: usize = 1_000;

/// `retention.policy_set`: the whole policy, in the place of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySet {
    /// The policy.
    pub policy: Policy,
}

/// `hold.placed`: nothing of a run, or of the whole tenant, goes until it is lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldPlaced {
    /// What people call it.
    pub hold: String,
    /// The run; none: the whole tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Why.
    pub reason: String,
}

/// `hold.lifted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldLifted {
    /// Which.
    pub hold: String,
}

/// `retention.applied`: what went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// `logs`, `blobs`, `cache`, `keys` or `events`.
    pub what: String,
    /// How many: runs whose logs went, blobs, results, keys, events.
    pub count: u64,
    /// Their bytes, where that is known.
    #[serde(default)]
    pub bytes: u64,
    /// For logs: those of runs that had ended before this instant, unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_before: Option<Timestamp>,
    /// For events: the position below which all have left the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below_position: Option<u64>,
}

/// What happens to a tenant's retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetentionEvent {
    /// Another policy.
    PolicySet(PolicySet),
    /// Something is held.
    HoldPlaced(HoldPlaced),
    /// Something is not held any more.
    HoldLifted(HoldLifted),
    /// Something went.
    Applied(Applied),
}

impl AggregateEvent for RetentionEvent {
    fn kind(&self) -> &'static str {
        match self {
            Self::PolicySet(_) => "retention.policy_set",
            Self::HoldPlaced(_) => "hold.placed",
            Self::HoldLifted(_) => "hold.lifted",
            Self::Applied(_) => "retention.applied",
        }
    }

    fn to_data(&self) -> Map<String, Json> {
        let value = match self {
            Self::PolicySet(data) => serde_json::to_value(data),
            Self::HoldPlaced(data) => serde_json::to_value(data),
            Self::HoldLifted(data) => serde_json::to_value(data),
            Self::Applied(data) => serde_json::to_value(data),
        };
        match value {
            Ok(Json::Object(data)) => data,
            // Plain data with text keys is always an object.
            _ => Map::new(),
        }
    }

    fn read(kind: &str, data: &Map<String, Json>) -> Result<Option<Self>, String> {
        fn of<T: serde::de::DeserializeOwned>(
            kind: &str,
            data: &Map<String, Json>,
        ) -> Result<T, String> {
            serde_json::from_value(Json::Object(data.clone()))
                .map_err(|error| format!("{kind}: {error}"))
        }
        Ok(match kind {
            "retention.policy_set" => Some(Self::PolicySet(of(kind, data)?)),
            "hold.placed" => Some(Self::HoldPlaced(of(kind, data)?)),
            "hold.lifted" => Some(Self::HoldLifted(of(kind, data)?)),
            "retention.applied" => Some(Self::Applied(of(kind, data)?)),
            _ => None,
        })
    }
}

/// A tenant's retention as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retention {
    /// Its policy.
    pub policy: Policy,
    /// What is held, by name.
    pub holds: BTreeMap<String, HoldPlaced>,
    /// Of each kind, what went last and when.
    pub applied: BTreeMap<String, (Timestamp, Applied)>,
    /// Logs of runs that had ended before this instant have gone, unless they were held.
    pub logs_gone_before: Option<Timestamp>,
}

impl Aggregate for Retention {
    type Event = RetentionEvent;

    fn apply(&mut self, at: Timestamp, event: &RetentionEvent) {
        match event {
            RetentionEvent::PolicySet(set) => self.policy = set.policy,
            RetentionEvent::HoldPlaced(placed) => {
                self.holds.insert(placed.hold.clone(), placed.clone());
            }
            RetentionEvent::HoldLifted(lifted) => drop(self.holds.remove(&lifted.hold)),
            RetentionEvent::Applied(applied) => {
                self.logs_gone_before = self.logs_gone_before.max(applied.ended_before);
                self.applied.insert(applied.what.clone(), (at, applied.clone()));
            }
        }
    }
}

impl Retention {
    /// Whether a run, or all of the tenant, is held.
    pub fn is_held(&self, run: RunId) -> bool {
        self.holds.values().any(|hold| hold.run.is_none_or(|held| held == run))
    }

    /// When the logs of a run that ended then went by policy.
    pub fn logs_went(&self, ended_at: Timestamp) -> Option<Timestamp> {
        let gone = self.logs_gone_before.is_some_and(|before| ended_at < before);
        self.applied.get("logs").filter(|_| gone).map(|(at, _)| *at)
    }
}

/// What is asked of a tenant's retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetentionCommand {
    /// Another policy, whole.
    Set(Policy),
    /// Hold something.
    Place(HoldPlaced),
    /// Hold it no longer.
    Lift(String),
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetentionRefusal {
    /// It makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is one of this name.
    #[error("there is a hold `{0}` already")]
    Taken(String),
    /// There is none.
    #[error("there is no hold `{0}`")]
    Unknown(String),
}

/// What happens when something is asked. The same policy again is nothing.
///
/// # Errors
/// Why it is not done.
pub fn decide(
    state: &Retention,
    command: &RetentionCommand,
    of_site: bool,
) -> Result<Vec<RetentionEvent>, RetentionRefusal> {
    match command {
        RetentionCommand::Set(policy) => {
            policy.check(of_site).map_err(RetentionRefusal::Invalid)?;
            let same = state.policy == *policy;
            let set = RetentionEvent::PolicySet(PolicySet { policy: *policy });
            Ok(if same { Vec::new() } else { vec![set] })
        }
        RetentionCommand::Place(placed) => {
            let fits = |text: &str, most: usize| {
                let count = text.chars().count();
                (1..=most).contains(&count) && !text.chars().any(char::is_control)
            };
            if !fits(&placed.hold, 64) || !fits(&placed.reason, 500) {
                let what = "a hold has a name of 1 to 64 and a reason of 1 to 500 characters, \
                            none of them control characters";
                return Err(RetentionRefusal::Invalid(what.to_string()));
            }
            if state.holds.contains_key(&placed.hold) {
                return Err(RetentionRefusal::Taken(placed.hold.clone()));
            }
            if state.holds.len() >= MAX_HOLDS {
                let what = format!("at most {MAX_HOLDS} things are held at one time");
                return Err(RetentionRefusal::Invalid(what));
            }
            Ok(vec![RetentionEvent::HoldPlaced(placed.clone())])
        }
        RetentionCommand::Lift(hold) => match state.holds.contains_key(hold) {
            true => Ok(vec![RetentionEvent::HoldLifted(HoldLifted { hold: hold.clone() })]),
            false => Err(RetentionRefusal::Unknown(hold.clone())),
        },
    }
}
