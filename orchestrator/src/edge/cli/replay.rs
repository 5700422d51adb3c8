//! `dagbook replay`: fold a run's events and print the state at that point; or check the whole
//! record and decide every recorded command again.

mod elsewhere;
mod verify;

use dagbook_events::project::RunView;
use dagbook_events::time::Timestamp;

use super::source::LogKey;
use super::{CliError, Context, ExitCode, show};
use crate::runtime::record::RecordedFact;
use crate::wiring::SourceName;

const EXAMPLES: &str = "\
Examples:
  dagbook replay latest                              the state now, folded from its events
  dagbook replay latest --at 120                     the state after position 120
  dagbook replay latest --at 2026-03-01T12:00:00Z
  dagbook replay latest --verify                     check everything behind it
  dagbook replay latest --from jetstream             the same from the second copy, which works
                                                     also while the store is away

The same bytes are printed whatever they are read from. From the copy and from tiles every leaf is
checked on the way. With --verify the exit code is 6 where anything is damaged or does not agree.";

/// What to replay.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The run: an id, a part of one, `#number`, `latest`, `-1`
    #[arg(allow_negative_numbers = true, default_value = "latest")]
    run: String,
    /// Up to this position of the record, or this instant (RFC 3339)
    #[arg(long, value_name = "POSITION|TIME", conflicts_with = "verify")]
    at: Option<String>,
    /// Check every leaf, hash, tree and checkpoint of the record, and decide every command of
    /// the run again
    #[arg(long)]
    verify: bool,
    /// Read the run from this keeping of the record
    #[arg(
        long,
        value_enum,
        value_name = "SOURCE",
        default_value = "store",
        conflicts_with = "verify"
    )]
    from: SourceName,
    /// The timeline of the copy or the tiles [default: the newest]
    #[arg(long, value_name = "N")]
    timeline: Option<u64>,
    #[command(flatten)]
    log_key: LogKey,
}

/// Replays it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    args.from.check_kind(ctx.config())?;
    let until = args.at.as_deref().map(Until::parse).transpose()?;
    let (run, history) = match args.from.is_store() {
        true => {
            let record = ctx.record().await?;
            if args.verify {
                return verify::run(ctx, &record, &args.run).await;
            }
            let run = record.select(&args.run).await?;
            (run, record.recorder.history(record.tenant(), run).await?)
        }
        false => elsewhere::history(ctx, &args).await?,
    };
    let mut view = RunView::unborn();
    for recorded in history.iter().take_while(|r| until.is_none_or(|until| until.takes(r))) {
        view.apply(&recorded.fact);
    }
    if view.state.submitted.is_none() {
        let first = history.first().map(|r| r.envelope.position).unwrap_or_default();
        return Err(CliError::usage(format!("run {run} did not exist then"))
            .hint(format!("its first event is at position {first}")));
    }
    show::print(ctx, &view, true)?;
    Ok(ExitCode::Success)
}

/// Where to stop.
#[derive(Debug, Clone, Copy)]
enum Until {
    Position(u64),
    Time(Timestamp),
}

impl Until {
    fn parse(text: &str) -> Result<Self, CliError> {
        if let Ok(position) = text.parse() {
            return Ok(Self::Position(position));
        }
        Timestamp::parse_rfc3339(text).map(Self::Time).ok_or_else(|| {
            CliError::usage(format!("`{text}` is neither a position nor an instant"))
                .hint("write `120` or `2026-03-01T12:00:00Z`")
        })
    }

    fn takes(self, recorded: &RecordedFact) -> bool {
        match self {
            Self::Position(position) => recorded.envelope.position.0 <= position,
            Self::Time(time) => recorded.envelope.recorded_at <= time,
        }
    }
}
