//! The record: can it be read, is it whole, does it agree with what was signed?

use dagbook_events::journal::clock::SystemClock;
use dagbook_events::journal::store::{SqliteHealth, health};
use dagbook_events::journal::verify::verify;
use dagbook_events::ports::{Clock, ReadError};

use super::{Check, Standing, postgres};
use crate::config::{DataDir, StoreLocation};
use crate::edge::cli::{Context, OpenRecord, output};

/// Larger records are left to `replay --verify`.
const VERIFIED_AT_MOST: u64 = 300_000;

/// A clock behind the record by more than this was set back.
const BEHIND_MS: i64 = 2_000;

/// The year 2025: a clock before that is not set.
const EARLIEST_MS: i64 = 1_735_689_600_000;

/// Checks the store, whichever it is, and says where the record stands.
pub(super) async fn checks(ctx: &Context, data: &DataDir) -> (Vec<Check>, Option<Standing>) {
    let now = SystemClock.now().0;
    match &ctx.config().store {
        StoreLocation::Postgres(url) => {
            let (mut checks, health) = postgres::checks(url).await;
            let record = health.as_ref().and_then(|health| health.record.as_ref());
            // Times are recorded by this machine's clock, whichever server keeps them.
            checks.push(clock(now, record.map(|record| record.recorded_at)));
            let Some(record) = record else { return (checks, None) };
            let (evidence, standing) = whole(ctx, data, record.position).await;
            checks.push(evidence);
            (checks, standing)
        }
        StoreLocation::InDataFolder | StoreLocation::Sqlite(_) => in_sqlite(ctx, data, now).await,
    }
}

async fn in_sqlite(ctx: &Context, data: &DataDir, now: i64) -> (Vec<Check>, Option<Standing>) {
    if !data.record().exists() {
        return (vec![Check::ok("record", "nothing was run here yet"), clock(now, None)], None);
    }
    let path = data.record().to_path_buf();
    let looked = tokio::task::spawn_blocking(move || health(&path)).await;
    let health = match looked {
        Ok(Ok(health)) => health,
        Ok(Err(error)) => return (vec![Check::broken("record", error.to_string())], None),
        Err(error) => return (vec![Check::broken("record", error.to_string())], None),
    };
    let mut checks = vec![file(data, &health), clock(now, Some(health.recorded_at))];
    let (evidence, standing) = whole(ctx, data, health.position).await;
    checks.push(evidence);
    (checks, standing)
}

fn file(data: &DataDir, health: &SqliteHealth) -> Check {
    let shown = data.record().display();
    if let Some(first) = health.problems.first() {
        return Check::broken("record", format!("{shown} is damaged: {first}"))
            .hint("stop all runs, copy the file away, and see ops/runbooks/evidence-damaged.md");
    }
    let size = std::fs::metadata(data.record()).map_or(0, |m| m.len());
    let (events, size) = (output::count(health.position as usize, "event"), output::bytes(size));
    let SqliteHealth { library, journal_mode, .. } = health;
    let detail = format!("{shown}: {events}, {size}, SQLite {library}, {journal_mode}");
    match journal_mode.as_str() {
        "wal" => Check::ok("record", detail),
        _ => Check::warning("record", detail)
            .hint("the journal mode should be `wal`; the next run sets it"),
    }
}

fn clock(now: i64, recorded_at: Option<i64>) -> Check {
    if now < EARLIEST_MS {
        return Check::broken("clock", "the clock of this machine is not set");
    }
    match recorded_at.map(|recorded| recorded - now) {
        Some(behind) if behind > BEHIND_MS => {
            let behind = dagbook_events::time::Millis(behind.unsigned_abs());
            Check::warning("clock", format!("it is {behind} behind the newest event"))
                .hint("it was set back; durations around that moment will look wrong")
        }
        _ => Check::ok("clock", "not behind the record"),
    }
}

async fn whole(ctx: &Context, data: &DataDir, position: u64) -> (Check, Option<Standing>) {
    let record = match OpenRecord::open(ctx.config(), data.clone()).await {
        Ok(record) => record,
        Err(error) => return (Check::broken("evidence", error.message), None),
    };
    let standing = match standing(&record).await {
        Ok(standing) => standing,
        Err(error) => return (Check::broken("evidence", error.to_string()), None),
    };
    (evidence(&record, position).await, Some(standing))
}

async fn standing(record: &OpenRecord) -> Result<Standing, ReadError> {
    let store = record.recorder.store();
    let (timeline, position) = (store.timeline().await?, store.head().await?.0);
    let leaves = store.log_head(record.tenant()).await?.size;
    Ok(Standing { timeline, position, leaves })
}

async fn evidence(record: &OpenRecord, position: u64) -> Check {
    if position > VERIFIED_AT_MOST {
        let count = output::count(position as usize, "event");
        return Check::ok("evidence", format!("{count} are too many to check here"))
            .hint("`dagbook replay RUN --verify` checks them all");
    }
    let signed = match record.installation.signed_heads().await {
        Ok(signed) => signed,
        Err(error) => return Check::broken("evidence", error.to_string()),
    };
    match verify(record.installation.audit.as_ref(), &signed).await {
        Err(error) => Check::broken("evidence", error.to_string()),
        Ok(report) => match report.findings.first() {
            Some(first) => Check::broken("evidence", first.to_string())
                .hint("`dagbook replay RUN --verify` shows every finding"),
            None => {
                let signed = output::count(report.checkpoints as usize, "signed checkpoint");
                Check::ok("evidence", format!("bytes, hashes and trees agree, with {signed}"))
            }
        },
    }
}
