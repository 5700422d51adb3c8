//! Read models: what people and programs are shown of a run, as pure folds of its facts.
//! Nothing decides from them.

mod attempts;
mod critical;
mod rows;
mod spans;
mod summary;
mod timeline;
mod why;

pub use attempts::{AttemptEnd, AttemptView, RunView};
pub use critical::{CriticalStep, critical_path};
pub use rows::{Children, StepRow, step_rows};
pub use spans::{Attribute, Span, SpanEvent, SpanKind, SpanStatus, Spans};
pub use summary::{RunSummary, run_status, run_summary};
pub use timeline::{TimelineEntry, timeline};
pub use why::{Explanation, PlaceWait, Reason, Surroundings, why_run, why_step};
