//! `dagbook timeline recover`: a store that was restored from an older state gets back from the
//! copy what it lost, proven before anything is written.

use std::time::{Duration, Instant};

use dagbook_events::journal::recovery::{Recovered, RecoveryError, RecoveryProgress, recover};
use dagbook_events::ports::{CopyError, ReadError};
use serde::Serialize;
use serde_json::json;

use super::{LONGEST_REASON, confirmed, note};
use crate::edge::cli::{CliError, Context, ExitCode, OpenRecord, keeping, output};
use crate::wiring::{Installation, Jet, Purpose};

/// How often a person hears how far it is.
const NEWS: Duration = Duration::from_secs(2);

/// How to do it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only prove the copy and say what would come back
    #[arg(long)]
    dry_run: bool,
    /// What happened, for the record
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Do it without being asked; needed where there is no terminal
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct Report {
    timeline: u64,
    /// The head before.
    from: u64,
    /// The head behind what comes back.
    to: u64,
    events: u64,
    /// Signed heads that the copy was compared with.
    confirmed: u64,
    is_written: bool,
}

pub(super) async fn run(
    ctx: &Context,
    record: OpenRecord,
    args: Args,
) -> Result<ExitCode, CliError> {
    let reason = args.reason.as_deref().unwrap_or_default().trim().to_string();
    if !args.dry_run && (reason.is_empty() || reason.chars().count() > LONGEST_REASON) {
        return Err(CliError::usage(format!(
            "the reason must have between 1 and {LONGEST_REASON} characters"
        )));
    }
    let Some(jet) = Jet::of(ctx.config()) else {
        return Err(CliError::usage("there is no copy to recover from")
            .hint("name it with `bus = \"nats://…\"` or `DAGBOOK_BUS`"));
    };
    jet.ready().await.map_err(|error| CliError::unavailable(error.to_string()))?;
    let looked = attempt(ctx, &record, &jet, true).await?;
    let events = looked.to.0 - looked.from.0;
    if events == 0 || args.dry_run {
        return show(ctx, &looked, false);
    }
    ctx.tell(&checklist(&looked, events));
    if !args.yes && !confirmed("recover")? {
        return Err(CliError::refused("nothing was changed"));
    }
    let done = attempt(ctx, &record, &jet, false).await?;
    drop(record);
    // Opened anew, so that record and copy are compared, and the heads signed.
    let installation = Installation::open(ctx.config(), &ctx.data(None)?, Purpose::Append).await?;
    let data = json!({
        "from": done.from.0,
        "reason": reason,
        "timeline": done.timeline,
        "to": done.to.0,
    });
    let key = format!("timeline/{}/recovered/{}", done.timeline, done.to);
    note::down(&installation, done.timeline, "timeline.recovered", &key, &data).await?;
    keeping::settle(ctx, &installation).await?;
    show(ctx, &done, true)
}

async fn attempt(
    ctx: &Context,
    record: &OpenRecord,
    jet: &Jet,
    only_look: bool,
) -> Result<Recovered, CliError> {
    let signed = record.installation.signed_heads().await;
    let signed = signed.map_err(|error| CliError::unavailable(error.to_string()))?;
    let mut told = Instant::now();
    let mut progress = |news: RecoveryProgress| {
        if told.elapsed() < NEWS {
            return;
        }
        told = Instant::now();
        ctx.tell(&match news {
            RecoveryProgress::Proven(at, of) => format!("{at} of {of} events of the copy proven"),
            RecoveryProgress::Written(at, of) => format!("back up to position {at} of {of}"),
        });
    };
    let (store, copy) = (record.recorder.store(), jet.record_copy());
    let restore = record.installation.restore.as_ref();
    let done = recover(store.as_ref(), restore, &*copy, &signed, only_look, &mut progress).await;
    Ok(done?)
}

fn checklist(looked: &Recovered, events: u64) -> String {
    format!(
        "{} will be written back from the copy, positions {} to {} of timeline {}. The copy was \
         proven against the record and {}.\n\nBefore that:\n  \
         1. No other process may be appending: stop servers, runs and relays.\n  \
         2. The store must be the newest that can be restored.\n  \
         3. Idempotency keys of those events do not come back: requests of that time that are \
         sent again are told apart by the versions of their streams only.",
        output::count(events as usize, "event"),
        looked.from.0 + 1,
        looked.to,
        looked.timeline,
        output::count(looked.confirmed as usize, "signed head")
    )
}

fn show(ctx: &Context, found: &Recovered, is_written: bool) -> Result<ExitCode, CliError> {
    let (from, to) = (found.from.0, found.to.0);
    let events = to - from;
    let report = Report {
        timeline: found.timeline,
        from,
        to,
        events,
        confirmed: found.confirmed,
        is_written,
    };
    if ctx.is_json() {
        output::json(&report)?;
        return Ok(ExitCode::Success);
    }
    let heads = output::count(found.confirmed as usize, "signed head");
    let counted = output::count(events as usize, "event");
    output::print(&match (events, is_written) {
        (0, _) => format!("nothing is missing: record and copy agree, with {heads}\n"),
        (_, false) => format!(
            "the copy gives back {counted}, positions {} to {to}; it agrees with the record and \
             {heads}\n",
            from + 1
        ),
        (_, true) => format!("{counted} are back, up to position {to}\n"),
    })?;
    Ok(ExitCode::Success)
}

impl From<RecoveryError> for CliError {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Read(error) => match error {
                ReadError::Corrupt { .. } => Self::damaged(error.to_string()),
                ReadError::Unavailable(_) => Self::unavailable(error.to_string()),
            },
            RecoveryError::Copy(error @ CopyError::Unavailable(_)) => {
                Self::unavailable(error.to_string())
            }
            RecoveryError::Copy(error) => Self::damaged(error.to_string()),
            RecoveryError::Append(error) => error.into(),
            // Not the store's fault, and no reason for a new timeline: the error says what to do.
            RecoveryError::Changed { .. } => Self::damaged(error.to_string()),
            RecoveryError::Unfit(_) => Self::damaged(error.to_string())
                .hint("`dagbook timeline new` leads on; see ops/runbooks/store-restored.md"),
        }
    }
}
