//! Runs that were interrupted.

use super::Check;
use crate::config::DataDir;
use crate::edge::cli::{Context, OpenRecord, output};

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
    match open.as_slice() {
        [] => vec![Check::ok("runs", "none was interrupted")],
        runs => {
            let commands: Vec<String> =
                runs.iter().map(|run| format!("dagbook run --resume {run}")).collect();
            let detail = format!("{} was interrupted", output::count(runs.len(), "run"));
            vec![Check::warning("runs", detail).hint(commands.join("; "))]
        }
    }
}
