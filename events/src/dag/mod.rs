//! The DAG file, format `v1`: from text to a plan, with every finding at once.
//!
//! ```text
//! bytes → text → nodes (with positions) → spec → validated → plan
//!         source/                         read/  validate/   build/
//! ```
//!
//! Nothing here reads a file: sources come as a [`SourceBundle`]. Expressions are compiled
//! once (`expr/`) and evaluated later against a [`Scope`]; both are pure. Schedules
//! (`trigger/`) are a function from an instant to the next.

pub mod codes;
pub mod graph;
pub mod schema;
pub mod trigger;

mod build;
mod bundle;
mod difference;
mod expr;
mod finding;
mod params;
mod plan;
pub(crate) mod read;
pub(crate) mod source;
mod spec;
mod suggest;
mod validate;

pub use build::{PlanFacts, plan, plan_spec};
pub use bundle::{Checked, check, decode, parse, sub_dag_paths};
pub use difference::{ChangedStep, PlanDifference, plan_difference};
pub use expr::{
    CompileError, Condition, ExprError, GitFacts, RunFacts, Scope, StepLookup, StepView, Template,
};
pub use finding::{Finding, FindingDto, Severity, render};
pub use plan::{
    Action, Approval, Backoff, CachePolicy, Concurrency, FanOut, Jitter, MinSuccess, OnTimeout,
    OutputType, Plan, PlannedStep, ProgramTemplate, RetryClass, RetryPolicy, Section, SourceBundle,
    StepIndex, SubDag, SubDagSource, TaskTemplate, Timeouts, WaitFor, When, WhenFull,
};
pub use spec::{
    AxisSpec, CellSpec, ConcurrencySpec, Decimal, FanOutSpec, MatrixSpec, NeedSpec, ParamSpec,
    ParamType, Pattern, Requirement, Spec, StepSpec,
};
