//! One turn of letting go.

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::journal::archive::Waits;
use dagbook_events::retention::{Applied, Effective, Policy, RetentionEvent};
use dagbook_events::time::{Millis, Timestamp};
use serde::Serialize;

use super::settings::record;
use super::{Keeping, Policies, content, load, logs};
use crate::app::error::AppError;
use crate::app::principal::SITE_TENANT;

/// Keys and shelf items that go in one turn.
const SMALL_THINGS: usize = 10_000;

/// What went in a turn, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Runs whose logs went.
    pub logs: u64,
    /// Their bytes.
    pub logs_bytes: u64,
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub blobs_bytes: u64,
    /// Cached results.
    pub cache: u64,
    /// Idempotency keys of appends.
    pub keys: u64,
    /// Things on the shelf that had expired.
    pub shelf: u64,
    /// Events that left the store for the tiles.
    pub events: u64,
    /// Why no more events leave now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_wait: Option<String>,
    /// What did not succeed and is tried again.
    pub problems: Vec<String>,
    /// Not everything was looked at: the next turn goes on.
    #[serde(skip)]
    pub has_more: bool,
}

impl Swept {
    /// How many things went, of whatever kind.
    pub fn went(&self) -> u64 {
        self.logs + self.blobs + self.cache + self.keys + self.shelf + self.events
    }

    /// Adds what went in a later turn.
    pub fn add(&mut self, later: Self) {
        self.logs += later.logs;
        self.logs_bytes += later.logs_bytes;
        self.blobs += later.blobs;
        self.blobs_bytes += later.blobs_bytes;
        self.cache += later.cache;
        self.keys += later.keys;
        self.shelf += later.shelf;
        self.events += later.events;
        self.events_wait = later.events_wait;
        self.problems.extend(later.problems);
    }
}

/// Where turns are. Forgotten at an end of the process, which costs a look and nothing else.
#[derive(Debug, Default)]
pub struct Turn {
    logs: Option<RunId>,
    blobs: Option<Sha256Digest>,
    /// All content was looked at; it is not again before then.
    rests_until: Option<Timestamp>,
}

/// For how long content rests after all of it was looked at: a look reads the whole record.
const REST: Millis = Millis(3_600 * 1_000);

impl Turn {
    /// Lets a bounded piece of everything go, or only counts it, and records what went.
    ///
    /// # Errors
    /// Where the policies cannot be read. Everything else is a problem that the next turn has
    /// another go at.
    pub async fn take(&mut self, keeping: &Keeping, count_only: bool) -> Result<Swept, AppError> {
        let policies = load(keeping.store.as_ref()).await?;
        let site = Effective::new(policies.site.policy, Policy::default());
        let now = keeping.clock.now();
        let mut swept = Swept::default();
        if let Err(error) = self.logs(keeping, &policies, now, count_only, &mut swept).await {
            swept.problems.push(format!("logs: {error}"));
        }
        if let Err(error) = cache(keeping, &site, now, count_only, &mut swept).await {
            swept.problems.push(format!("cached results: {error}"));
        }
        if let Err(error) = self.blobs(keeping, &policies, now, count_only, &mut swept).await {
            swept.problems.push(format!("content: {error}"));
        }
        if !count_only && let Err(error) = small_things(keeping, &site, now, &mut swept).await {
            swept.problems.push(format!("keys: {error}"));
        }
        if let Err(error) = events(keeping, &site, now, count_only, &mut swept).await {
            swept.problems.push(format!("archive: {error}"));
        }
        swept.has_more |= self.logs.is_some() || self.blobs.is_some();
        Ok(swept)
    }

    async fn logs(
        &mut self,
        keeping: &Keeping,
        policies: &Policies,
        now: Timestamp,
        count_only: bool,
        swept: &mut Swept,
    ) -> Result<(), AppError> {
        let going = logs::sweep(keeping, policies, &mut self.logs, now, count_only).await?;
        for (tenant, going) in going {
            let count = going.runs.len() as u64;
            swept.logs += count;
            swept.logs_bytes += going.bytes;
            if count_only {
                continue;
            }
            let ended_before = policies.of(&tenant).0.logs().map(|kept| now - kept);
            let bytes = going.bytes;
            say(keeping, &tenant, Applied { bytes, ended_before, ..applied("logs", count) })
                .await?;
            for run in going.runs {
                let removed = keeping.files.remove_logs_set_aside(run).await;
                removed.map_err(|error| super::unavailable(&error))?;
            }
        }
        Ok(())
    }

    async fn blobs(
        &mut self,
        keeping: &Keeping,
        policies: &Policies,
        now: Timestamp,
        count_only: bool,
        swept: &mut Swept,
    ) -> Result<(), AppError> {
        let rests = self.rests_until.is_some_and(|until| now < until && until <= now + REST);
        if rests && !count_only {
            return Ok(());
        }
        let gone = content::sweep(keeping, policies, &mut self.blobs, now, count_only).await?;
        if !count_only && self.blobs.is_none() {
            self.rests_until = Some(now + REST);
        }
        (swept.blobs, swept.blobs_bytes) = (gone.count, gone.bytes);
        if gone.count > 0 && !count_only {
            let applied = Applied { bytes: gone.bytes, ..applied("blobs", gone.count) };
            say_of_site(keeping, applied).await?;
        }
        Ok(())
    }
}

fn applied(what: &str, count: u64) -> Applied {
    let what = what.to_string();
    Applied { what, count, bytes: 0, ended_before: None, below_position: None }
}

async fn say(keeping: &Keeping, tenant: &TenantId, applied: Applied) -> Result<(), AppError> {
    let ports = (keeping.store.as_ref(), keeping.clock.as_ref(), keeping.rng.as_ref());
    record(ports, tenant, &keeping.actor, RetentionEvent::Applied(applied)).await
}

async fn say_of_site(keeping: &Keeping, applied: Applied) -> Result<(), AppError> {
    let site = TenantId::new(SITE_TENANT).map_err(|e| AppError::Internal(e.to_string()))?;
    say(keeping, &site, applied).await
}

async fn cache(
    keeping: &Keeping,
    site: &Effective,
    now: Timestamp,
    count_only: bool,
    swept: &mut Swept,
) -> Result<(), AppError> {
    let Some(kept) = site.cache() else { return Ok(()) };
    let forgotten = keeping.files.forget_cached(now - kept, count_only).await;
    swept.cache = forgotten.map_err(|error| super::unavailable(&error))?;
    if swept.cache > 0 && !count_only {
        say_of_site(keeping, applied("cache", swept.cache)).await?;
    }
    Ok(())
}

async fn small_things(
    keeping: &Keeping,
    site: &Effective,
    now: Timestamp,
    swept: &mut Swept,
) -> Result<(), AppError> {
    swept.shelf = keeping.shelf.sweep(SMALL_THINGS).await? as u64;
    let Some(kept) = site.keys() else { return Ok(()) };
    swept.keys = keeping.upkeep.forget_keys(now - kept, SMALL_THINGS).await? as u64;
    if swept.keys > 0 {
        say_of_site(keeping, applied("keys", swept.keys)).await?;
    }
    Ok(())
}

async fn events(
    keeping: &Keeping,
    site: &Effective,
    now: Timestamp,
    count_only: bool,
    swept: &mut Swept,
) -> Result<(), AppError> {
    let (Some(archiver), Some(age)) = (&keeping.archiver, site.archive()) else { return Ok(()) };
    let turn = archiver.turn(now, age, count_only).await;
    let turn = turn.map_err(|error| AppError::Damaged(error.to_string()))?;
    swept.events = turn.gone;
    swept.has_more = turn.gone > 0 || matches!(turn.waits, Some(Waits::Unfinished { .. }));
    swept.events_wait = turn.waits.as_ref().map(words);
    if let Some(segment) = turn.segment.filter(|_| turn.gone > 0) {
        let below_position = Some(segment.end.0);
        say_of_site(keeping, Applied { below_position, ..applied("events", turn.gone) }).await?;
    }
    Ok(())
}

fn words(waits: &Waits) -> String {
    match waits {
        Waits::NothingWhole => "no partition lies wholly behind the newest event".to_string(),
        Waits::Young { until } => {
            format!("the oldest partition is old enough at {}", until.to_rfc3339())
        }
        Waits::Open { tenant, stream } => {
            format!("{stream} of tenant {tenant}, in the oldest partition, goes on")
        }
        Waits::Unpublished { tenant } => {
            format!("the tiles of tenant {tenant} are not published so far")
        }
        Waits::Unwitnessed { tenant, witness } => {
            format!("the witness {witness} has not co-signed the published head of {tenant}")
        }
        Waits::Uncopied => "the second copy does not have the oldest partition".to_string(),
        Waits::Unfinished { next } => format!("the next turn goes on at position {next}"),
        Waits::DryRun => "the oldest partition can go".to_string(),
        Waits::Stopped => "it was stopped".to_string(),
    }
}
