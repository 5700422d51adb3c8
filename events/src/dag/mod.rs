//! The DAG file, format `v1`: from text to a plan, with every finding at once.
//!
//! `source text → spec (with positions) → validate → plan`. Expressions are compiled once and
//! evaluated later against a [`Scope`]; both are pure.

mod expr;
mod plan;

pub use expr::{Condition, ExprError, GitFacts, RunFacts, Scope, StepLookup, StepView, Template};
pub use plan::{
    Action, Approval, Backoff, CachePolicy, Concurrency, FanOut, Jitter, MinSuccess, OnTimeout,
    OutputType, Plan, PlannedStep, ProgramTemplate, RetryClass, RetryPolicy, Section, SourceBundle,
    StepIndex, SubDag, SubDagSource, TaskTemplate, Timeouts, WaitFor, When, WhenFull,
};
