//! Expressions: compiled once, evaluated against recorded facts only.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::StepName;
use crate::value::Value;

/// Text with `${{ … }}` in it, compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    text: Arc<str>,
}

/// A bare expression, as in `if`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    text: Arc<str>,
}

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

/// Facts of the commit, when there is one.
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

/// Text that is not a template or condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError;

fn look_up(text: &str, scope: &Scope<'_>) -> Result<Value, ExprError> {
    let missing = || ExprError { expression: text.to_string(), message: "no value".to_string() };
    let mut path = text.trim().split('.');
    let mut value = match (path.next(), path.next()) {
        (Some("params"), Some(name)) => scope.params.get(name).cloned(),
        (Some("run"), Some("status")) => scope.run.status.as_deref().map(Value::str),
        (Some("steps"), Some(name)) => {
            let step = StepName::new(name).map_err(|_| missing())?;
            let _ = path.next();
            scope.steps.view(&step).map(|view| view.outputs)
        }
        (Some("item"), None) => scope.item.map(|(item, _)| item.clone()),
        _ => None,
    };
    for member in path {
        value = match value {
            Some(Value::Object(members)) => members.get(member).cloned(),
            _ => None,
        };
    }
    value.ok_or_else(missing)
}

impl Template {
    /// Compiles text.
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        Ok(Self { text: Arc::from(text) })
    }

    /// Evaluates it. One expression alone keeps its type; anything else gives text.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, ExprError> {
        match self.text.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")) {
            Some(path) => look_up(path, scope),
            None => Ok(Value::str(&self.text)),
        }
    }

    /// Evaluates to text.
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, ExprError> {
        self.evaluate(scope).map(|value| value.to_text())
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.text
    }
}

impl Condition {
    /// Evaluates to true or false; any other value is an error.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, ExprError> {
        let wrong = || ExprError { expression: self.text.to_string(), message: "no".to_string() };
        match look_up(&self.text, scope)? {
            Value::Bool(holds) => Ok(holds),
            _ => Err(wrong()),
        }
    }

    /// Compiles a bare expression.
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        Ok(Self { text: Arc::from(text) })
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.text
    }
}
