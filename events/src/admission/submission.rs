//! Back-pressure: whether one more run is accepted.

use super::quota::Quota;

/// Why one more run is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{whose} has {open} runs that are not over, and its limit is {limit}; {hint}")]
pub struct TooManyRuns {
    /// Whose limit: `tenant \`acme\`` or `the site`.
    pub whose: String,
    /// A word for programs: `open_runs` or `site_open_runs`.
    pub code: &'static str,
    /// Runs that are not over. Counted no further than the limit.
    pub open: u64,
    /// The limit.
    pub limit: u64,
    /// What to do.
    pub hint: &'static str,
}

/// Whether one more run is accepted, with so many of the tenant and of the site not over.
///
/// # Errors
/// The limit that is reached, with the numbers: the tenant's before the site's.
pub fn accepts(
    tenant: &crate::ids::TenantId,
    quota: &Quota,
    site: &Quota,
    open_of_tenant: u64,
    open_of_site: u64,
) -> Result<(), TooManyRuns> {
    if let Some(limit) = quota.open_runs.map(u64::from).filter(|most| open_of_tenant >= *most) {
        return Err(TooManyRuns {
            whose: format!("tenant `{tenant}`"),
            code: "open_runs",
            open: open_of_tenant,
            limit,
            hint: "submit again when one has ended, or cancel one",
        });
    }
    if let Some(limit) = site.open_runs.map(u64::from).filter(|most| open_of_site >= *most) {
        return Err(TooManyRuns {
            whose: "the site".to_string(),
            code: "site_open_runs",
            open: open_of_site,
            limit,
            hint: "submit again later",
        });
    }
    Ok(())
}
