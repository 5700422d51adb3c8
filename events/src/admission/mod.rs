//! Who may start next: pools, quotas, priorities and fair shares, as a function over folded
//! state.
//!
//! [`Admission`] is told of every run as it is now and answers with a [`Choice`], or for what
//! waits with a [`Wait`]: the reason with the numbers. It keeps sums and orders, never facts of
//! its own: made anew from the same runs it holds the same. Only how often someone was served or
//! passed is remembered beside, and begins again at nothing.
//!
//! What a tenant may spend is a matter of its own: [`money`].
//!
//! Reading order: [`Quota`], `amounts`, `pool`, `share`, `tenant`, `book`, `decide`, `keep`, `why`.

mod amounts;
mod book;
mod decide;
mod figures;
mod keep;
pub mod money;
mod pool;
mod quota;
mod share;
mod submission;
mod tenant;
mod why;

pub use amounts::{Amounts, Demand, Need, demands_of};
pub use book::{Admission, Line, RunDemand};
pub use decide::{Choice, ChoiceReason, PASSED_MAX};
pub use figures::{PoolFigures, TenantFigures};
pub use pool::{Capacity, Short};
pub use quota::{
    COUNT_MAX, CPU_MILLI_MAX, InvalidQuota, MEMORY_BYTES_MAX, Quota, WEIGHT_DEFAULT, WEIGHT_MAX,
};
pub use submission::{TooManyRuns, accepts};
pub use why::Wait;
