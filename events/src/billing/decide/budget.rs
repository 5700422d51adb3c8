//! Setting and removing budgets.

use crate::billing::{Billing, BillingEvent, BudgetRemoved, BudgetSet, exponent_of, is_name};
use crate::tenant::Refusal;

/// Budgets of a tenant.
pub const MAX_BUDGETS: usize = 16;
/// The most minor units of a budget.
const MOST: i128 = 1_000_000_000_000_000;

impl Billing {
    /// Sets a budget, or changes it. The same again is nothing.
    ///
    /// # Errors
    /// Where it cannot be, or is in another currency.
    pub fn set_budget(&self, budget: &BudgetSet) -> Result<Vec<BillingEvent>, Refusal> {
        if self.budgets.get(&budget.name) == Some(budget) {
            return Ok(Vec::new());
        }
        let invalid = |text: String| Err(Refusal::Invalid(text));
        if !is_name(&budget.name) {
            return invalid("a budget's name must match [a-z0-9][a-z0-9-]{0,62}".to_string());
        }
        if exponent_of(&budget.currency).is_none() {
            let short: String = budget.currency.chars().take(20).collect();
            return invalid(format!("ISO 4217 has no currency `{short}`"));
        }
        self.check_currency(&budget.currency)?;
        if !(0..=MOST).contains(&budget.minor.0) {
            return invalid(format!("a budget has from 0 to {MOST} minor units"));
        }
        if self.budgets.len() >= MAX_BUDGETS && !self.budgets.contains_key(&budget.name) {
            let reason = format!("there are {MAX_BUDGETS} budgets, the most of a tenant");
            return Err(Refusal::Full { limit: "budgets", reason });
        }
        Ok(vec![BillingEvent::BudgetSet(budget.clone())])
    }

    /// Removes a budget.
    ///
    /// # Errors
    /// Where there is none.
    pub fn remove_budget(&self, name: &str) -> Result<Vec<BillingEvent>, Refusal> {
        if !self.budgets.contains_key(name) {
            let name = name.chars().take(80).collect();
            return Err(Refusal::Missing { what: "budget", name });
        }
        Ok(vec![BillingEvent::BudgetRemoved(BudgetRemoved { name: name.to_string() })])
    }
}
