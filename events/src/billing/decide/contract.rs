//! Publishing a tenant's contract.

use crate::billing::card_versions::{fits, next_version, sha256_of_contract};
use crate::billing::file::ContractFile;
use crate::billing::{Billing, BillingEvent, Contract, ContractPublished, Credit};
use crate::tenant::Refusal;
use crate::time::Timestamp;

impl Billing {
    /// Publishes a version of a contract; the same file as the newest again is nothing. `said` is
    /// the instant that was said beside the file.
    ///
    /// # Errors
    /// Where it contradicts what was published, or what is settled.
    pub fn publish_contract(
        &self,
        file: &ContractFile,
        said: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<BillingEvent>, Refusal> {
        let newest = self.contracts.last();
        if let Some(newest) = newest
            && newest.source == file.source
            && said.is_none_or(|at| at == newest.effective_from)
        {
            return Ok(Vec::new());
        }
        self.check_currency(&file.what.currency)?;
        let name = &file.what.name;
        let what = format!("the contract `{name}`");
        let same = || self.contracts.iter().filter(|it| it.contract.name == *name);
        let last = same().next_back().map(|it| it.contract.version);
        let version = next_version(&what, file.version, last)?;
        for credit in &file.what.credits {
            let before = same().flat_map(|it| &it.contract.credits);
            check_credit(credit, before)?;
        }
        if let Some(at) = file.effective_from.filter(|at| said.is_none() && *at < now) {
            return Err(Refusal::Conflict(format!(
                "{at} is past: usage since then may be known already; say `--effective {at}` if \
                 you mean it, or a later instant"
            )));
        }
        let last = newest.map(|it| it.effective_from);
        let effective_from = self.effective(&what, said.or(file.effective_from), now, last)?;
        let contract = Contract { version, ..file.what.clone() };
        let published = ContractPublished {
            sha256: sha256_of_contract(&contract),
            contract,
            effective_from,
            source: file.source.clone(),
        };
        Ok(vec![fits(BillingEvent::ContractPublished(published), &what)?])
    }
}

/// What is left of a credit is counted by its name: its amount cannot change.
fn check_credit<'a>(
    credit: &Credit,
    mut before: impl Iterator<Item = &'a Credit>,
) -> Result<(), Refusal> {
    match before.find(|it| it.name == credit.name && it.amount_minor != credit.amount_minor) {
        Some(other) => Err(Refusal::Conflict(format!(
            "the credit `{}` was {} in minor units in an earlier version, and is {} here: give a \
             new amount a name of its own",
            credit.name, other.amount_minor, credit.amount_minor
        ))),
        None => Ok(()),
    }
}
