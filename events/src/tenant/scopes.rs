//! What a token may do at most, where that is less than what its role may.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::access::Permission;

/// The most pipelines that a token can be narrowed to.
pub const SCOPED_PIPELINES_MAX: usize = 64;

/// A narrowing. What is not said is not narrowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scopes {
    /// Only these permissions, as far as the role has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<BTreeSet<Permission>>,
    /// Only these registered pipelines and their runs. What concerns no pipeline is then refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipelines: Option<BTreeSet<String>>,
}

impl Scopes {
    /// Whether nothing is narrowed.
    pub fn is_whole(&self) -> bool {
        self.permissions.is_none() && self.pipelines.is_none()
    }

    /// Whether they leave the permission, for whatever it is used.
    pub fn leave(&self, permission: Permission) -> bool {
        self.permissions.as_ref().is_none_or(|only| only.contains(&permission))
    }

    /// Whether they leave the pipeline; none: something that is of no registered pipeline.
    pub fn leave_pipeline(&self, pipeline: Option<&str>) -> bool {
        let Some(only) = &self.pipelines else { return true };
        pipeline.is_some_and(|pipeline| only.contains(pipeline))
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.permissions.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(Refusal::Invalid(
                "a token that is narrowed to no permission can do nothing".to_string(),
            ));
        }
        let Some(pipelines) = &self.pipelines else { return Ok(()) };
        let fits = |name: &String| {
            !name.is_empty() && name.len() <= 100 && name.bytes().all(|c| c.is_ascii_graphic())
        };
        let count_fits = (1..=SCOPED_PIPELINES_MAX).contains(&pipelines.len());
        match count_fits && pipelines.iter().all(fits) {
            true => Ok(()),
            false => Err(Refusal::Invalid(format!(
                "a token is narrowed to 1 to {SCOPED_PIPELINES_MAX} pipelines by their names"
            ))),
        }
    }
}
