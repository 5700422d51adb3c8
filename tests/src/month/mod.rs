//! A month of history for three tenants, from one seed, through the normal append path.
//!
//! Runs with retries, attempts that were lost and whose truth comes late, checkpoints of long
//! ones, devices, clocks that step back, reports that contradict each other; rate cards that
//! change in the middle of the month, a contract, a change of the clock, and facts that arrive
//! behind a closing. [`record`] writes it into any store; the same seed gives the same leaves.
//! [`Auditor`] rates leaves from anywhere.

mod attempts;
mod audit;
mod events;
mod money;
mod write;

use dagbook_events::ids::TenantId;
use dagbook_events::time::Timestamp;

pub use audit::{Auditor, Invoiced};
pub use write::record;

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The seed.
    pub seed: u64,
    /// Attempts of all tenants.
    pub attempts: usize,
}

/// The site of the logs' names.
pub const SITE: &str = "dagbook.example";

/// A tenant, and the three months that it is billed for.
pub(crate) struct Tenant {
    pub id: TenantId,
    /// Of a hundred attempts.
    pub share: usize,
    pub currency: &'static str,
    pub exponent: u8,
    pub zone: &'static str,
    /// Where September, October and November of 2026 begin in its zone, and where the last ends.
    pub bounds: [i64; 4],
}

/// The periods, in the order of the bounds.
pub(crate) const PERIODS: [&str; 3] = ["2026-09", "2026-10", "2026-11"];

/// The three tenants. In Berlin October has an hour more; the others live at the ends of the day.
pub(crate) fn tenants() -> Vec<Tenant> {
    let tenant = |name, share, money: (&'static str, u8), zone, bounds: [&str; 4]| Tenant {
        id: TenantId::new(name).expect("a slug"),
        share,
        currency: money.0,
        exponent: money.1,
        zone,
        bounds: bounds.map(instant),
    };
    vec![
        tenant(
            "acme",
            60,
            ("EUR", 2),
            "Europe/Berlin",
            [
                "2026-08-31T22:00:00Z",
                "2026-09-30T22:00:00Z",
                "2026-10-31T23:00:00Z",
                "2026-11-30T23:00:00Z",
            ],
        ),
        tenant(
            "baker",
            30,
            ("JPY", 0),
            "Etc/GMT+12",
            [
                "2026-09-01T12:00:00Z",
                "2026-10-01T12:00:00Z",
                "2026-11-01T12:00:00Z",
                "2026-12-01T12:00:00Z",
            ],
        ),
        tenant(
            "kiribati",
            10,
            ("KWD", 3),
            "Pacific/Kiritimati",
            [
                "2026-08-31T10:00:00Z",
                "2026-09-30T10:00:00Z",
                "2026-10-31T10:00:00Z",
                "2026-11-30T10:00:00Z",
            ],
        ),
    ]
}

pub(crate) fn instant(text: &str) -> i64 {
    Timestamp::parse_rfc3339(text).map_or(0, |at| at.0)
}
