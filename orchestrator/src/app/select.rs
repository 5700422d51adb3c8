//! Which run a person means: an id, a unique part of one, `#number`, `latest`, `-1`, ….

use dagbook_events::ids::{RunId, StreamName, TenantId};

use super::error::AppError;
use super::listing;
use super::services::Services;

/// Names read at one time.
const PAGE: usize = 500;
/// Runs that are looked at when an id is not given in full.
const LOOKED_AT: usize = 20_000;
/// Runs whose beginnings are read when a place or a number is asked for.
const HEADS: usize = 2_000;
/// Characters of a part of an id, at least: fewer match by chance.
const SHORTEST_PART: usize = 4;
/// Longest text that can mean a run.
const LONGEST: usize = 64;

/// Finds the run.
///
/// # Errors
/// [`AppError::NotFound`] where nothing, or more than one run, is meant.
pub async fn run(services: &Services, tenant: &TenantId, wanted: &str) -> Result<RunId, AppError> {
    let unknown = || AppError::not_found("run", wanted.chars().take(LONGEST).collect::<String>());
    if wanted.len() > LONGEST {
        return Err(unknown());
    }
    if let Ok(run) = wanted.parse::<RunId>() {
        let head = listing::head(&services.recorder, tenant, run).await?;
        return head.map(|head| head.run).ok_or_else(unknown);
    }
    let back = match wanted {
        "latest" => Some(1),
        _ => wanted.strip_prefix('-').and_then(|n| n.parse::<usize>().ok()),
    };
    let number = wanted.strip_prefix('#').map(|n| n.parse::<u64>().map_err(|_| unknown()));
    if back.is_some() || number.is_some() {
        let number = number.transpose()?;
        return by_head(services, tenant, back, number).await?.ok_or_else(unknown);
    }
    let digits = wanted.replace('-', "").to_lowercase();
    if digits.len() < SHORTEST_PART || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(unknown());
    }
    let mut found = Vec::new();
    let mut names = Names::new(LOOKED_AT);
    while let Some(runs) = names.next(services, tenant).await? {
        found.extend(runs.into_iter().filter(|r| r.0.simple().to_string().contains(&digits)));
    }
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(unknown()),
        several => Err(AppError::Invalid(format!(
            "`{wanted}` is part of {} run ids; give more of one of them",
            several.len()
        ))),
    }
}

/// The run so many places from the newest, or the one of that number; sub-DAGs apart.
async fn by_head(
    services: &Services,
    tenant: &TenantId,
    back: Option<usize>,
    number: Option<u64>,
) -> Result<Option<RunId>, AppError> {
    let mut names = Names::new(HEADS);
    let mut passed = 0;
    while let Some(runs) = names.next(services, tenant).await? {
        for run in runs {
            let Some(head) = listing::head(&services.recorder, tenant, run).await? else {
                continue;
            };
            if head.parent.is_some() {
                continue;
            }
            passed += 1;
            if back == Some(passed) || number == Some(head.number) {
                return Ok(Some(run));
            }
        }
    }
    Ok(None)
}

/// The names of a tenant's runs, newest first.
struct Names {
    before: Option<StreamName>,
    left: usize,
}

impl Names {
    fn new(most: usize) -> Self {
        Self { before: None, left: most }
    }

    async fn next(
        &mut self,
        services: &Services,
        tenant: &TenantId,
    ) -> Result<Option<Vec<RunId>>, AppError> {
        let wanted = self.left.min(PAGE);
        if wanted == 0 {
            return Ok(None);
        }
        let store = &services.store;
        let names = store.streams(tenant, "run/", self.before.as_ref(), wanted).await?;
        self.left = if names.len() < wanted { 0 } else { self.left - wanted };
        self.before = names.last().cloned();
        Ok(Some(names.iter().filter_map(StreamName::as_run).collect()))
    }
}
