//! The record: can it be read, is it whole, does it agree with what was signed?

use dagbook_events::journal::store::{SqliteHealth, health};
use dagbook_events::journal::verify::verify;
use dagbook_events::ports::Clock;

use super::Check;
use crate::config::DataDir;
use crate::edge::cli::{OpenRecord, output};

/// Larger records are left to `replay --verify`.
const VERIFIED_AT_MOST: u64 = 300_000;

/// A clock behind the record by more than this was set back.
const BEHIND_MS: i64 = 2_000;

/// The year 2025: a clock before that is not set.
const EARLIEST_MS: i64 = 1_735_689_600_000;

pub(super) async fn checks(data: &DataDir) -> Vec<Check> {
    let now = dagbook_events::journal::clock::SystemClock.now().0;
    if !data.record().exists() {
        return vec![Check::ok("record", "nothing was run here yet"), clock(now, None)];
    }
    let path = data.record().to_path_buf();
    let looked = tokio::task::spawn_blocking(move || health(&path)).await;
    let health = match looked {
        Ok(Ok(health)) => health,
        Ok(Err(error)) => return vec![Check::broken("record", error.to_string())],
        Err(error) => return vec![Check::broken("record", error.to_string())],
    };
    let mut checks = vec![file(data, &health), clock(now, Some(health.recorded_at))];
    checks.push(whole(data, &health).await);
    checks
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

async fn whole(data: &DataDir, health: &SqliteHealth) -> Check {
    if health.position > VERIFIED_AT_MOST {
        let detail = format!(
            "{} are too many to check here",
            output::count(health.position as usize, "event")
        );
        return Check::ok("evidence", detail).hint("`dagbook replay RUN --verify` checks them all");
    }
    let record = match OpenRecord::open(data.clone()).await {
        Ok(record) => record,
        Err(error) => return Check::broken("evidence", error.message),
    };
    let signed = match record.embedded.signed_heads() {
        Ok(signed) => signed,
        Err(error) => return Check::broken("evidence", error.to_string()),
    };
    match verify(record.embedded.audit.as_ref(), &signed).await {
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
