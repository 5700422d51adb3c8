//! From a line of an invoice to its usage facts, from those to their leaves, and the proofs that
//! these are in the log.

use dagbook_events::access::Permission;
use dagbook_events::rating::{Fact, FactClass, LineClass};
use dagbook_events::tlog::inclusion_proof;

use super::Accounts;
use super::invoice::{head_of, named};
use super::rate::{How, Rated, What, apart, rate};
use crate::app::error::AppError;
use crate::app::pipelines::shorten;
use crate::app::principal::Principal;
use crate::app::reports::{FactReport, LineEventsReport, LineReport};

/// A line with its facts behind `after` (an id), at most so many, each with its proof.
///
/// # Errors
/// [`AppError::NotFound`] where there is no such period or line.
pub async fn line(
    accounts: &Accounts,
    by: &Principal,
    (period, line_id): (&str, &str),
    after: Option<&str>,
    limit: usize,
) -> Result<LineEventsReport, AppError> {
    by.require(Permission::ReadAudit)?;
    let state = accounts.billing(&by.tenant).await?.state;
    let period = named(&state, period)?;
    let what = What::Period(period.opened.period.clone());
    let how = How { head: head_of(period), keep_hashes: true, ..How::default() };
    let rated = rate(accounts, &by.tenant, what, how).await?;
    let (line_id, after) = (line_id.to_string(), after.map(str::to_string));
    let (tenant, exponent) = (by.tenant.to_string(), period.opened.exponent);
    apart(move || {
        let Rated { statement, head, hashes } = rated;
        let found = statement.lines.iter().find(|line| line.line_id == line_id);
        let line = found.ok_or_else(|| AppError::not_found("line", shorten(&line_id)))?;
        let class = match line.class {
            LineClass::Usage => Some(FactClass::Usage),
            LineClass::Correction => Some(FactClass::Correction),
            LineClass::Discount | LineClass::Credit => None,
        };
        let is_of_line = |fact: &&Fact| {
            fact.group.is_some()
                && fact.group == line.group
                && Some(fact.class) == class
                && fact.period == line.period
        };
        let is_behind = |fact: &&Fact| after.as_ref().is_none_or(|after| fact.id.to_hex() > *after);
        let mut facts: Vec<&Fact> =
            statement.facts.iter().filter(is_of_line).filter(is_behind).take(limit + 1).collect();
        let has_more = facts.len() > limit;
        facts.truncate(limit);
        let mut shown = Vec::with_capacity(facts.len());
        for fact in facts {
            let proof = inclusion_proof(fact.leaf_index, &hashes)
                .map_err(|error| AppError::Internal(error.to_string()))?;
            let leaf = usize::try_from(fact.leaf_index).ok().and_then(|at| hashes.get(at));
            let leaf = leaf.ok_or_else(|| AppError::Internal("no such leaf".to_string()))?;
            shown.push(FactReport::proven(fact, *leaf, &proof));
        }
        let next = shown.last().filter(|_| has_more).map(|fact| fact.usage_id.clone());
        Ok(LineEventsReport {
            tenant,
            period: statement.period.name.to_string(),
            number: statement.number.clone(),
            origin: statement.origin.clone(),
            size: head.size,
            root: head.root.to_hex(),
            line: LineReport::of(line, exponent),
            facts: shown,
            next,
        })
    })
    .await
}
