//! `dagbook logs`: what steps wrote, now or while they write it.

mod chosen;
mod lines;
mod origin;
mod stream;
mod tail;

use std::time::Duration;

use dagbook_events::ids::StepKey;
use dagbook_events::project::RunView;

use super::record::no_such_step;
use super::{CliError, Context, ExitCode};
use chosen::Chosen;
use lines::Lines;
use origin::Origin;

/// How often new output is looked for.
const LOOK: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  dagbook logs latest train
  dagbook logs latest train --attempt 1 --tail 20
  dagbook logs latest --follow              all steps, each line with its step";

/// Which logs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The run: an id, a part of one, `#number`, `latest`, `-1`
    #[arg(allow_negative_numbers = true, default_value = "latest")]
    run: String,
    /// A step, or one child of it such as `resize[3]` [default: all]
    step: Option<String>,
    /// The attempt's number [default: the last]
    #[arg(long, value_name = "N", requires = "step")]
    attempt: Option<u32>,
    /// Go on until what is shown has ended
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines of each log
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
}

/// Prints them.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let (mut origin, run, mut view) = Origin::open(ctx, &args.run, args.follow).await?;
    let wanted = args.step.as_deref().map(StepKey::new);
    check(&view, wanted.as_ref(), args.attempt, args.follow)?;
    if args.follow && !view.state.is_finished() && !origin.is_driven(run) {
        ctx.tell(&format!(
            "note: no process drives this run; go on with it by `dagbook run --resume {run}`"
        ));
    }
    let mut chosen = Chosen::new(run, wanted, args.attempt, args.tail, origin.logs(args.follow));
    let mut lines = Lines::new(ctx.is_json(), chosen.is_one(&view));
    loop {
        // What is written before the view says that nothing more comes is in the file by then.
        let is_over = chosen.is_over(&view);
        chosen.look(&view)?;
        let moved = chosen.read(&mut lines)?;
        let is_done = match args.follow {
            true => is_over && chosen.is_read(),
            false => chosen.is_read_for_now(),
        };
        if is_done {
            break;
        }
        if !moved {
            tokio::time::sleep(LOOK).await;
        }
        if args.follow {
            origin.catch_up(run, &mut view).await?;
        }
    }
    lines.close()?;
    for (step, bytes) in chosen.dropped(&view) {
        let dropped = super::output::bytes(bytes);
        ctx.tell(&format!("note: {dropped} of the log of `{step}` are beyond its limit and gone"));
    }
    if chosen.is_empty() {
        ctx.tell(&origin.why_nothing(&view).await?);
    }
    Ok(ExitCode::Success)
}

/// Says at once what can never be shown.
fn check(
    view: &RunView,
    wanted: Option<&StepKey>,
    attempt: Option<u32>,
    follow: bool,
) -> Result<(), CliError> {
    let Some(key) = wanted else { return Ok(()) };
    let (name, label) = key.split();
    let known =
        view.state.find(key).is_some() || (label.is_none() && view.state.find_step(name).is_some());
    if !known {
        return Err(no_such_step(view, key));
    }
    let made = view.attempts_of(key).len();
    match attempt {
        Some(n) if !follow && n as usize > made => {
            let message = format!("`{key}` has no attempt {n}: there were {made}");
            Err(CliError::usage(message))
        }
        _ => Ok(()),
    }
}
