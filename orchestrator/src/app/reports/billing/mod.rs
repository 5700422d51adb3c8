//! Rate cards, contracts, periods, budgets, usage and invoices.

mod cards;
mod invoices;
mod usage;

pub use cards::{
    BudgetReport, ContractReport, PeriodReport, PublishedReport, RateCardReport, RateCardRow,
};
pub use invoices::{
    CreditNoteReport, CreditedLine, Difference, FactReport, InvoiceReport, InvoiceRow,
    LineEventsReport, LineReport, WhatIfReport,
};
pub use usage::{UsageReport, UsageRow};
