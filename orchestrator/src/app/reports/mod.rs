//! What programs are shown, in the one shape that the command line prints and HTTP answers. A
//! report is built from folded state, holds everything that its text form needs, and can be read
//! back: the output from a server is the output from here.

pub mod billing;
mod critical;
pub mod ended;
pub mod events;
pub mod me;
pub mod pipelines;
pub mod plan;
pub mod retention;
pub mod run;
pub mod runs;
pub mod schedules;
pub mod secrets;
pub mod tenants;
pub mod tokens;
pub mod why;

pub use billing::{
    BudgetReport, ContractReport, CreditNoteReport, CreditedLine, Difference, FactReport,
    InvoiceReport, InvoiceRow, LineEventsReport, LineReport, PeriodReport, PublishedReport,
    RateCardReport, RateCardRow, UsageReport, UsageRow, WhatIfReport,
};
pub use ended::EndedReport;
pub use events::EventReport;
pub use me::MeReport;
pub use pipelines::{LatestDifference, PipelineReport, PipelineVersionReport, Registration};
pub use plan::PlanReport;
pub use retention::{AppliedRow, HoldReport, KeptFor, RetentionReport};
pub use run::{AttemptReport, CostReport, RunReport, StepReport};
pub use runs::{RunFilter, RunRow};
pub use schedules::{
    BackfillPreview, BackfillReport, HistoryRow, NextFiring, OpenRun, ScheduleReport, ScheduleRow,
};
pub use secrets::SecretReport;
pub use tenants::TenantReport;
pub use tokens::{IssuedToken, PersonReport, TokenReport};
pub use why::WhyReport;
