//! What a schedule is to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dag::trigger::{CatchUp, CronError, Overlap, Schedule as Cron, ScheduleTrigger};
use crate::time::Millis;
use crate::value::Value;

/// The longest span over which starts are spread.
pub const JITTER_MAX: Millis = Millis::seconds(24 * 3_600);
/// Bytes of parameters, as they are recorded.
pub const PARAMS_MAX: usize = 16 << 10;

/// What a schedule is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// The registered pipeline that is run.
    pub pipeline: String,
    /// Which version; none: the newest at the time of each firing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<u32>,
    /// When: five fields as in crontab(5), or a name such as `@hourly`.
    pub cron: String,
    /// The IANA zone of those times.
    pub timezone: String,
    /// What happens when the run before is not done yet.
    pub overlap: Overlap,
    /// What happens to times that were missed.
    pub catch_up: CatchUp,
    /// Starts are spread over this span, in milliseconds.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub jitter_ms: Millis,
    /// Parameters of the runs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub params: BTreeMap<String, Value>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(span: &Millis) -> bool {
    span.0 == 0
}

/// Why a schedule cannot be like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The expression or the zone.
    #[error("`{expression}` in {zone} is not a schedule: {reason}")]
    Cron {
        /// The expression.
        expression: String,
        /// The zone.
        zone: String,
        /// What is wrong.
        reason: CronError,
    },
    /// The jitter.
    #[error("the jitter is {0}; the most is {JITTER_MAX}")]
    Jitter(Millis),
    /// The parameters.
    #[error("the parameters take {0} bytes; the most is {PARAMS_MAX}")]
    Params(usize),
}

impl ScheduleSpec {
    /// What an entry of `on: schedule` asks for.
    pub fn of_trigger(pipeline: &str, trigger: &ScheduleTrigger) -> Self {
        Self {
            pipeline: pipeline.to_string(),
            version: None,
            cron: trigger.schedule.expression().to_string(),
            timezone: trigger.schedule.zone().to_string(),
            overlap: trigger.overlap,
            catch_up: trigger.catch_up,
            jitter_ms: trigger.jitter.unwrap_or_default(),
            params: trigger.params.clone(),
        }
    }

    /// The expression in its zone.
    pub fn compiled(&self) -> Result<Cron, SpecError> {
        let shorten = |text: &str| text.chars().take(80).collect();
        Cron::new(&self.cron, &self.timezone).map_err(|reason| SpecError::Cron {
            expression: shorten(&self.cron),
            zone: shorten(&self.timezone),
            reason,
        })
    }

    /// Refuses what cannot be done or kept.
    pub fn check(&self) -> Result<Cron, SpecError> {
        if self.jitter_ms > JITTER_MAX {
            return Err(SpecError::Jitter(self.jitter_ms));
        }
        let bytes = serde_json::to_vec(&self.params).map_or(usize::MAX, |text| text.len());
        if bytes > PARAMS_MAX {
            return Err(SpecError::Params(bytes));
        }
        self.compiled()
    }
}
