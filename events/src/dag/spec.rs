//! The file as its author wrote it: names not yet resolved, matrices not yet multiplied.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::StepName;
use crate::time::Millis;
use crate::value::Value;

use super::expr::{Condition, Template};
use super::plan::{
    Action, MinSuccess, OutputType, RetryPolicy, Section, SubDagSource, Timeouts, When, WhenFull,
};
use super::source::Span;
use super::trigger::Triggers;

/// One file, read and found free of errors (or as much of it as could be read).
#[derive(Debug, Clone)]
pub struct Spec {
    /// `name`.
    pub name: String,
    /// `description`.
    pub description: String,
    /// `labels`.
    pub labels: BTreeMap<String, String>,
    /// `params`, in the order written.
    pub params: Vec<ParamSpec>,
    /// `on`.
    pub triggers: Triggers,
    /// `concurrency`.
    pub concurrency: Option<ConcurrencySpec>,
    /// `priority`.
    pub priority: i32,
    /// `timeout`.
    pub timeout: Option<Millis>,
    /// `max_parallel`.
    pub max_parallel: Option<u32>,
    /// `steps`, then `finally`, in the order written.
    pub steps: Vec<StepSpec>,
    /// Reads of what sub-DAGs give back, to be checked where their files are known.
    pub(crate) sub_reads: Vec<SubRead>,
}

/// `steps.<sub-DAG>.outputs.<step>.<output>`.
#[derive(Debug, Clone)]
pub(crate) struct SubRead {
    pub step: StepName,
    pub inner: String,
    pub output: Option<String>,
    pub span: Span,
}

/// A declared parameter.
#[derive(Debug, Clone)]
pub struct ParamSpec {
    /// Its name.
    pub name: String,
    /// `type`.
    pub kind: ParamType,
    /// `description`.
    pub description: String,
    /// `default`.
    pub default: Option<Value>,
    /// `required`: it has no default and must be given.
    pub required: bool,
    /// `minimum`, for numbers.
    pub minimum: Option<Decimal>,
    /// `maximum`, for numbers.
    pub maximum: Option<Decimal>,
    /// `pattern`, for text: must match somewhere (write `^…$` for the whole).
    pub pattern: Option<Pattern>,
    /// `enum`.
    pub choices: Vec<Value>,
    pub(crate) span: Span,
}

/// Type of a parameter.
pub type ParamType = OutputType;

/// A decimal number that can be compared exactly: its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal(pub Arc<str>);

/// A regular expression and its text.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As written.
    pub text: String,
    pub(crate) regex: regex_lite::Regex,
}

/// `concurrency`, its group not yet evaluated.
#[derive(Debug, Clone)]
pub struct ConcurrencySpec {
    /// `group`.
    pub group: Template,
    /// `limit`.
    pub limit: u32,
    /// `when_full`.
    pub when_full: WhenFull,
    pub(crate) span: Span,
}

/// A step as written, defaults merged.
#[derive(Debug, Clone)]
pub struct StepSpec {
    /// Its name.
    pub name: StepName,
    /// `steps` or `finally`.
    pub section: Section,
    /// `needs`.
    pub needs: Vec<NeedSpec>,
    /// `when`.
    pub when: When,
    /// `if`.
    pub condition: Option<Condition>,
    /// What it does.
    pub action: Action,
    /// `matrix` or `for_each`.
    pub fan_out: FanOutSpec,
    /// `max_parallel`.
    pub max_parallel: Option<u32>,
    /// `fail_fast`.
    pub fail_fast: bool,
    /// `min_success`.
    pub min_success: Option<MinSuccess>,
    /// `timeout`.
    pub timeouts: Timeouts,
    /// `retry`.
    pub retry: RetryPolicy,
    /// Where the name stands.
    pub line: u32,
    /// Where the name stands, in characters.
    pub column: u32,
    /// What it does could not be read.
    pub(crate) broken: bool,
    pub(crate) span: Span,
    /// Where the action stands, for findings about sub-DAGs.
    pub(crate) action_span: Span,
}

/// A need as written.
#[derive(Debug, Clone)]
pub struct NeedSpec {
    /// The name.
    pub name: String,
    pub(crate) span: Span,
}

/// Children as written.
#[derive(Debug, Clone)]
pub enum FanOutSpec {
    /// None.
    None,
    /// `for_each`.
    ForEach(Template),
    /// `matrix`.
    Matrix(MatrixSpec),
}

/// `matrix` as written.
#[derive(Debug, Clone)]
pub struct MatrixSpec {
    /// Axes in the order written.
    pub axes: Vec<(String, AxisSpec)>,
    /// Cells to add, or members to add to cells that agree.
    pub include: Vec<Vec<(String, CellSpec)>>,
    /// Cells to leave out.
    pub exclude: Vec<Vec<(String, CellSpec)>>,
    pub(crate) span: Span,
}

/// The values of an axis.
#[derive(Debug, Clone)]
pub enum AxisSpec {
    /// Written down.
    Values(Vec<CellSpec>),
    /// An expression that gives a list when the plan is made.
    Expression(Template),
}

/// One value.
#[derive(Debug, Clone)]
pub enum CellSpec {
    /// Written down.
    Value(Value),
    /// An expression, evaluated when the plan is made.
    Expression(Template),
}

/// A program that a step says it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The step.
    pub step: StepName,
    /// The program's name.
    pub program: String,
    /// The step's executor.
    pub executor: String,
    /// Where the step stands, from 1.
    pub line: u32,
    /// Where the step stands, from 1, in characters.
    pub column: u32,
}

impl Spec {
    /// Every `requires` of the file, for a check where the steps will run.
    pub fn requirements(&self) -> Vec<Requirement> {
        let mut all = Vec::new();
        for step in &self.steps {
            if let Action::Task(task) = &step.action {
                all.extend(task.requires.iter().map(|program| Requirement {
                    step: step.name.clone(),
                    program: program.clone(),
                    executor: task.executor.clone(),
                    line: step.line,
                    column: step.column,
                }));
            }
        }
        all
    }

    /// Paths of the sub-DAG files that it calls itself.
    pub fn sub_dag_paths(&self) -> Vec<String> {
        let path = |step: &StepSpec| match &step.action {
            Action::SubDag(sub) => match &sub.source {
                SubDagSource::Path(path) => Some(path.clone()),
                SubDagSource::Pipeline(_) => None,
            },
            _ => None,
        };
        self.steps.iter().filter_map(path).collect()
    }
}
