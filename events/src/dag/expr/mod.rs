//! Expressions: compiled once, evaluated against recorded facts only.
//!
//! The language is Jinja's (`minijinja`), cut down to what cannot surprise: no statements, no
//! functions, no randomness, filters that are pure and cannot grow their input without bound.
//! A plain path (`params.epochs`, `item`) is looked up directly and keeps its value exactly.

mod compile;
mod convert;
mod engine;
mod eval;
mod guard;
mod lex;
mod names;
mod scope;
mod template;

pub(crate) use compile::{Compiled, FILTERS, TESTS};
pub(crate) use names::{Mention, Name, Segment};
pub use scope::{ExprError, GitFacts, RunFacts, Scope, StepLookup, StepView};
pub(crate) use scope::{GIT_MEMBERS, ROOTS, RUN_MEMBERS, STEP_MEMBERS};
pub(crate) use template::opens_expression;
pub use template::{CompileError, Condition, Template};
