//! What expressions can see.

use std::collections::BTreeMap;

use crate::ids::StepName;
use crate::value::Value;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("in `{expression}`: {message}")]
pub struct ExprError {
    /// The text as written.
    pub expression: String,
    /// What is wrong.
    pub message: String,
}

/// Facts of a run that expressions may see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFacts {
    /// `run.id`.
    pub id: String,
    /// `run.number`.
    pub number: u64,
    /// `run.tenant`.
    pub tenant: String,
    /// `run.trigger`: `manual`, `schedule`, `gitlab`, `dag`.
    pub trigger: String,
    /// `run.scheduled_at`, RFC 3339; empty when there was no schedule.
    pub scheduled_at: String,
    /// `run.status`, in `finally` only.
    pub status: Option<String>,
}

/// Facts of the commit, when there is one. Without one every member is the empty text, so
/// that `git.branch == "main"` is simply false.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct GitFacts {
    /// `git.project`.
    pub project: String,
    /// `git.sha`.
    pub sha: String,
    /// `git.ref`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// `git.branch`, empty for a tag.
    pub branch: String,
    /// `git.tag`, empty for a branch.
    pub tag: String,
}

/// What a finished step shows to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepView {
    /// `steps.x.outputs`: an object; for a fan-out each member is the list of the children's.
    pub outputs: Value,
    /// `steps.x.artifacts`: an object of `{sha256, bytes, manifest}`; lists for a fan-out.
    pub artifacts: Value,
    /// `steps.x.status`.
    pub status: &'static str,
}

/// Finds what a step shows.
pub trait StepLookup {
    /// The view of a step that came to an end; none for one that has not.
    fn view(&self, step: &StepName) -> Option<StepView>;
}

/// All that an expression can see.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// `params`.
    pub params: &'a BTreeMap<String, Value>,
    /// `run`.
    pub run: &'a RunFacts,
    /// `git`.
    pub git: Option<&'a GitFacts>,
    /// `steps`.
    pub steps: &'a dyn StepLookup,
    /// `matrix`.
    pub matrix: Option<&'a BTreeMap<String, Value>>,
    /// `item` and `index`.
    pub item: Option<(&'a Value, u32)>,
}

/// Names that expressions start with.
pub(crate) const ROOTS: [&str; 7] = ["params", "run", "git", "steps", "matrix", "item", "index"];

/// Members of `run`.
pub(crate) const RUN_MEMBERS: [&str; 6] =
    ["id", "number", "tenant", "trigger", "scheduled_at", "status"];

/// Members of `git`.
pub(crate) const GIT_MEMBERS: [&str; 5] = ["project", "sha", "ref", "branch", "tag"];

/// Members of a step.
pub(crate) const STEP_MEMBERS: [&str; 3] = ["outputs", "artifacts", "status"];

impl RunFacts {
    /// A member's value; nothing for a member that does not exist or has no value here.
    pub(crate) fn member(&self, name: &str) -> Option<Value> {
        Some(match name {
            "id" => Value::str(&self.id),
            "number" => Value::Int(i64::try_from(self.number).unwrap_or(i64::MAX)),
            "tenant" => Value::str(&self.tenant),
            "trigger" => Value::str(&self.trigger),
            "scheduled_at" => Value::str(&self.scheduled_at),
            "status" => Value::str(self.status.as_deref()?),
            _ => return None,
        })
    }
}

impl GitFacts {
    /// A member's value.
    pub(crate) fn member(facts: Option<&Self>, name: &str) -> Option<Value> {
        let pick: fn(&Self) -> &str = match name {
            "project" => |git| &git.project,
            "sha" => |git| &git.sha,
            "ref" => |git| &git.reference,
            "branch" => |git| &git.branch,
            "tag" => |git| &git.tag,
            _ => return None,
        };
        Some(Value::str(facts.map_or("", pick)))
    }
}

impl StepView {
    /// `outputs`, `artifacts` or `status`.
    pub(crate) fn member(&self, name: &str) -> Option<Value> {
        Some(match name {
            "outputs" => self.outputs.clone(),
            "artifacts" => self.artifacts.clone(),
            "status" => Value::str(self.status),
            _ => return None,
        })
    }
}
