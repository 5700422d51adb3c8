//! Prices, contracts and periods: what money follows from, beside the usage itself.
//!
//! What a site publishes (rate cards) stands in the site's own log; what holds for a tenant (cards
//! it was given, its contract, its periods and closings, its budgets) stands in that tenant's
//! stream `billing`, so that a tenant's history is enough to compute its bill. The rule from
//! events to money is `ops/audit/VERIFY.md`; the function is [`crate::rating`].

mod card;
mod contract;
mod event;
mod whole;

pub use card::{
    Bill, BillFaults, Clock, Match, Meter, Price, RateCard, Rounding, Step, TierKind, Tiers,
};
pub use contract::{Contract, Credit, Discount, Override};
pub use event::{
    BILLING_STREAM, BillingEvent, BudgetAction, BudgetRemoved, BudgetSet, CardAdopted,
    CardPublished, CardStreamEvent, ContractPublished, CreditNoteIssued, CreditTaken, PeriodClosed,
    PeriodKind, PeriodOpened, PeriodTotal, RATE_CARD_STREAMS,
};
pub use whole::Whole;
