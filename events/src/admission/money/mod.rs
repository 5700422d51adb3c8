//! Money before it is spent: what a tenant may spend in a period, what it spent, what is held for
//! attempts that run, and what one more attempt would come to.
//!
//! This is an estimate on the safe side and not the bill (`ops/audit/VERIFY.md` says how that is
//! made): each price is that of its first step, of the card and contract in force when an attempt
//! is planned (for its end: when its time began), and discounts and credits are left out. A tenant
//! without a budget is not known here at all.
//!
//! Reading order: `terms` (what was agreed), `price` (what something costs), `spending` (what the
//! record says), `book` (who spent and holds what), `why`, `estimate` (of a plan),
//! `run` (of one that was run).

mod book;
mod estimate;
mod figures;
mod price;
mod run;
mod spending;
mod terms;
mod why;

pub use book::Money;
pub use estimate::{StepEstimate, Times, estimate};
pub use figures::{BudgetFigures, KNOWN_LEAST, Refused, Spent, Typical};
pub use price::{Shape, cost_of, ended_cost, hold_for};
pub use run::{RunCost, run_cost};
pub use spending::Spending;
pub use terms::{Budget, Span, Terms};
pub use why::amount;
