//! Which run a person means: an id, a unique part of one, `#number`, `latest`, `-1`, ….

use dagbook_events::ids::{RunId, TenantId};

use super::CliError;
use crate::app::listing;
use crate::runtime::record::Recorder;

/// Runs that are looked at when an id is not given in full.
const LOOKED_AT: usize = 100_000;

/// Characters of a part of an id, at least: fewer match by chance.
const SHORTEST_PART: usize = 4;

/// Finds the run.
pub async fn run(recorder: &Recorder, tenant: &TenantId, wanted: &str) -> Result<RunId, CliError> {
    if let Ok(run) = wanted.parse::<RunId>() {
        return match listing::head(recorder, tenant, run).await? {
            Some(_) => Ok(run),
            None => Err(unknown(wanted)),
        };
    }
    if wanted == "latest" {
        return nth(recorder, tenant, wanted, 1).await;
    }
    if let Some(n) = wanted.strip_prefix('-').and_then(|n| n.parse::<usize>().ok()) {
        return nth(recorder, tenant, wanted, n).await;
    }
    if let Some(number) = wanted.strip_prefix('#') {
        let number = number.parse::<u64>().map_err(|_| unknown(wanted))?;
        return numbered(recorder, tenant, wanted, number).await;
    }
    part(recorder, tenant, wanted).await
}

/// The n-th from the end, sub-DAGs apart.
async fn nth(
    recorder: &Recorder,
    tenant: &TenantId,
    wanted: &str,
    n: usize,
) -> Result<RunId, CliError> {
    let mut left = n;
    for run in listing::newest(recorder, tenant, LOOKED_AT).await? {
        let head = listing::head(recorder, tenant, run).await?;
        if left > 0 && head.is_some_and(|head| head.parent.is_none()) {
            left -= 1;
            if left == 0 {
                return Ok(run);
            }
        }
    }
    Err(match n - left {
        0 => CliError::usage("there is no run yet").hint("`dagbook run FILE` makes one"),
        1 => CliError::usage(format!("there is no run `{wanted}`: there is 1 run")),
        known => CliError::usage(format!("there is no run `{wanted}`: there are {known} runs")),
    })
}

async fn numbered(
    recorder: &Recorder,
    tenant: &TenantId,
    wanted: &str,
    number: u64,
) -> Result<RunId, CliError> {
    for run in listing::newest(recorder, tenant, LOOKED_AT).await? {
        let head = listing::head(recorder, tenant, run).await?;
        if head.is_some_and(|head| head.number == number && head.parent.is_none()) {
            return Ok(run);
        }
    }
    Err(unknown(wanted))
}

async fn part(recorder: &Recorder, tenant: &TenantId, wanted: &str) -> Result<RunId, CliError> {
    let digits = wanted.replace('-', "").to_lowercase();
    if digits.len() < SHORTEST_PART || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(unknown(wanted));
    }
    let runs = listing::newest(recorder, tenant, LOOKED_AT).await?;
    let matching: Vec<RunId> =
        runs.into_iter().filter(|run| run.0.simple().to_string().contains(&digits)).collect();
    match matching.as_slice() {
        [] => Err(unknown(wanted)),
        [one] => Ok(*one),
        several => {
            let shown: Vec<String> = several.iter().take(5).map(RunId::to_string).collect();
            Err(CliError::usage(format!("`{wanted}` is part of {} run ids", several.len()))
                .hint(format!("give more of one of: {}", shown.join(", "))))
        }
    }
}

/// What to do about a run that is not there.
pub(super) const HINT: &str =
    "`dagbook runs` lists them; `latest` is the newest, `#12` the one of that number";

/// There is no such run.
pub(super) fn unknown(wanted: &str) -> CliError {
    CliError::usage(format!("there is no run `{}`", super::output::clean(wanted))).hint(HINT)
}
