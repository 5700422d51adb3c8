//! Prices, contracts and periods: what money follows from, beside the usage itself.
//!
//! What a site publishes (rate cards) stands in the site's own log; what holds for a tenant (cards
//! it was given, its contract, its periods and closings, its budgets) stands in that tenant's
//! stream `billing`, so that a tenant's history is enough to compute its bill. The rule from
//! events to money is `ops/audit/VERIFY.md`; the function is [`crate::rating`].

mod calendar;
mod card;
mod card_versions;
mod contract;
mod credit_note;
mod currency;
mod decide;
mod decimal;
mod event;
pub mod file;
mod names;
mod state;
mod whole;

pub use calendar::{Cut, CutError, month_around, next_period, period_named};

pub use card::{
    Bill, BillFaults, Clock, Match, Meter, Price, RateCard, Rounding, Step, TierKind, Tiers,
};
pub use card_versions::{CardVersions, card_stream, sha256_of_card, sha256_of_contract};
pub use contract::{Contract, Credit, Discount, Override};
pub use credit_note::{
    CREDIT_NOTE_FORMAT, CreditNote, CreditNoteLine, CreditNotePosting, InvoicedLine,
};
pub use currency::{currencies, exponent_of};
pub use decide::{CreditAsk, MAX_BUDGETS, MAX_OPEN_PERIODS, Opening};
pub use decimal::{PRICE_DECIMALS, format_decimal, format_price, parse_decimal};
pub use event::{
    BILLING_STREAM, BillingEvent, BudgetAction, BudgetRemoved, BudgetSet, CardAdopted,
    CardPublished, CardStreamEvent, ContractPublished, CreditNoteIssued, CreditTaken, GraceWaived,
    PeriodClosed, PeriodKind, PeriodOpened, PeriodTotal, RATE_CARD_STREAMS,
};
pub use names::{is_name, is_period_name, is_sku};
pub use state::{Billing, Period};
pub use whole::Whole;
