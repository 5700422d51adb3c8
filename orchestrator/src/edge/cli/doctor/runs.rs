//! Runs that were interrupted.

use std::collections::BTreeSet;

use dagbook_events::ids::StreamName;

use super::Check;
use crate::config::DataDir;
use crate::edge::cli::{Context, OpenRecord, output};
use crate::runtime::record::RecordError;

/// Runs of each sort that are looked at.
const SAMPLE: usize = 30;
/// Open runs that are listed.
const LISTED: usize = 5_000;

pub(super) async fn checks(ctx: &Context, data: &DataDir) -> Vec<Check> {
    // Where the record cannot be opened, that was said already.
    let Ok(record) = OpenRecord::open(ctx.config(), data.clone()).await else { return Vec::new() };
    let mut open = Vec::new();
    for run in record.installation.interrupted() {
        let end = crate::app::listing::end(&record.recorder, record.tenant(), run).await;
        if matches!(end, Ok(None)) {
            open.push(run);
        }
    }
    let interrupted = match open.as_slice() {
        [] => Check::ok("runs", "none was interrupted"),
        runs => {
            let commands: Vec<String> =
                runs.iter().map(|run| format!("dagbook run --resume {run}")).collect();
            let detail = format!("{} was interrupted", output::count(runs.len(), "run"));
            Check::warning("runs", detail).hint(commands.join("; "))
        }
    };
    let sample = match closed_as_they_say(&record).await {
        Ok(check) => check,
        Err(error) => Check::broken("closed runs", error.to_string()),
    };
    vec![interrupted, sample]
}

/// Whether the store notes as closed what its histories say has ended, for some of its runs.
async fn closed_as_they_say(record: &OpenRecord) -> Result<Check, RecordError> {
    let (store, tenant) = (record.recorder.store(), record.tenant());
    let open = store.open_streams("run/", None, LISTED).await?;
    let is_whole = open.len() < LISTED;
    let open: BTreeSet<StreamName> =
        open.into_iter().filter(|(of, _)| of == tenant).map(|(_, stream)| stream).collect();
    let newest = store.streams(tenant, "run/", None, SAMPLE).await?;
    let sample: BTreeSet<&StreamName> = newest.iter().chain(open.iter().take(SAMPLE)).collect();
    for stream in &sample {
        let Some(run) = stream.as_run() else { continue };
        let has_ended = crate::app::listing::end(&record.recorder, tenant, run).await?.is_some();
        if has_ended && open.contains(*stream) {
            let detail = format!("run {run} has ended, and the store notes it as open");
            let hint = "an older program has written to this store; it costs a look at each \
                        start of a server, and holds its partition in Postgres";
            return Ok(Check::warning("closed runs", detail).hint(hint));
        }
        if !has_ended && is_whole && !open.contains(*stream) {
            let detail = format!("run {run} goes on, and the store notes it as closed");
            let hint = "no server would go on with it: see ops/runbooks/evidence-damaged.md";
            return Ok(Check::broken("closed runs", detail).hint(hint));
        }
    }
    let count = output::count(sample.len(), "run");
    Ok(Check::ok("closed runs", format!("{count} are noted as their histories say")))
}
