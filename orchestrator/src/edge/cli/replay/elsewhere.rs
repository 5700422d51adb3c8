//! A run's history from the second copy or from tiles: nothing of it is believed unchecked, and
//! the store is not asked.

use std::sync::Arc;

use dagbook_events::ids::RunId;

use super::Args;
use crate::adapters::{ScannedRuns, Wanted};
use crate::edge::cli::{CliError, Context, select, source};
use crate::runtime::record::{RecordedFact, Recorder};
use crate::wiring::{SourceName, Sources, deps};

/// Finds the run that is meant, and reads it.
pub(super) async fn history(
    ctx: &Context,
    args: &Args,
) -> Result<(RunId, Vec<RecordedFact>), CliError> {
    let config = ctx.config();
    let layout = source::layout(ctx)?;
    let sources = Sources::new(config, layout.clone(), args.log_key.read()?, args.timeline);
    let source = match args.from {
        SourceName::Tiles => sources.tiles_of_tenant().await?,
        _ => sources.jetstream().await?,
    };
    let run = match args.run.parse::<RunId>() {
        Ok(run) => run,
        Err(_) => {
            let beginnings =
                ScannedRuns::read(source.as_ref(), &config.tenant, Wanted::Beginnings).await?;
            let recorder = Recorder::new(&deps(config, &layout, Arc::new(beginnings))?);
            select::run(&recorder, &config.tenant, &args.run).await?
        }
    };
    let scanned = ScannedRuns::read(source.as_ref(), &config.tenant, Wanted::Run(run)).await?;
    let recorder = Recorder::new(&deps(config, &layout, Arc::new(scanned))?);
    let run = select::run(&recorder, &config.tenant, &run.to_string()).await?;
    Ok((run, recorder.history(&config.tenant, run).await?))
}
