//! `dagbook witness`: rebuild the logs from the second copy alone, and co-sign what agrees.

use std::path::PathBuf;
use std::time::Duration;

use dagbook_events::journal::witness::{Refusal, Witness, WitnessError, WitnessStatus};
use dagbook_events::ports::SignError;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::source::LogKey;
use super::{CliError, Context, ExitCode, output};
use crate::config::{BusLocation, Config};
use crate::wiring::{WitnessOpenError, WitnessPlace, open_witness};

const EXAMPLES: &str = "\
Examples:
  dagbook witness --bus 'nats://bus.example?creds=/etc/witness.creds' \\
      --key /var/lib/dagbook-witness/witness.key --name witness.example \\
      --log-key 'books.example+1f2e3d4c+AWN…'
  dagbook witness --key witness.key --once     as far as the copy goes, then end

The key is made at the first start; what others need to check its co-signatures is printed, and
stands beside it (`.vkey`): name it as one of `witnesses` in the configuration of the site. Run it
on another machine than the site, as another user, with credentials that may only read the copy
and answer on the board of co-signatures (ops/docs/postgres-and-nats.md).

The site's key (`--log-key`) is pinned at the first start and need not be given again.

Exit codes: 0 it was told to end   4 the copy cannot be reached (with --once)
            6 it refuses a log: the copy and what the site signed do not agree";

/// What to witness, and as whom.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where the copy is [default: `bus` of the configuration]
    #[arg(long, value_name = "URL", env = "DAGBOOK_WITNESS_BUS", hide_env_values = true)]
    bus: Option<String>,
    /// The witness's own key, made at the first start
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The name of a key that is made [default: witness.<name of this machine>]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Name of the site, with which its logs' names begin [default: the name of its key]
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    #[command(flatten)]
    log_key: LogKey,
    /// What the witness knows, kept between its starts [default: FILE.state beside the key]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// End as soon as everything that the copy has is read, and all heads are answered
    #[arg(long)]
    once: bool,
    /// Witness the other logs further after one was refused
    #[arg(long)]
    keep_going: bool,
    /// With --once: give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "once")]
    within: u64,
}

/// How long --once pauses where it waits for something.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Serialize)]
struct Line<'a> {
    state: &'static str,
    key: &'a str,
    timeline: u64,
    position: u64,
    cosigned: u64,
    waiting: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Refusal]>::is_empty")]
    refusals: &'a [Refusal],
}

/// Witnesses.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let config = match &args.bus {
        None => ctx.config().clone(),
        Some(bus) => Config {
            bus: BusLocation::parse(bus).map_err(CliError::usage)?,
            ..ctx.config().clone()
        },
    };
    let state = args.state.clone().unwrap_or_else(|| {
        let mut name = args.key.as_os_str().to_os_string();
        name.push(".state");
        PathBuf::from(name)
    });
    let place = WitnessPlace {
        key: args.key.clone(),
        name: args.name.clone(),
        state,
        log_key: args.log_key.read()?,
        site: args.site.clone(),
        stop_at_refusal: !args.keep_going,
    };
    let witness = open_witness(&config, place).await?;
    let key = witness.verifier().to_text();
    if !ctx.is_json() {
        output::print(&format!("{key}\n"))?;
    }
    let told = Told { key, last: None };
    let refusals = match args.once {
        true => once(ctx, witness, told, Duration::from_secs(args.within)).await?,
        false => go_on(ctx, witness, told).await?,
    };
    Ok(if refusals.is_empty() { ExitCode::Success } else { ExitCode::Damaged })
}

/// Turns until nothing is left to do, a log is refused, or the time is over.
async fn once(
    ctx: &Context,
    mut witness: Witness,
    mut told: Told,
    within: Duration,
) -> Result<Vec<Refusal>, CliError> {
    let mut ending = super::run::interrupts();
    let deadline = Instant::now() + within;
    loop {
        let status = witness.turn().await?;
        told.tell(ctx, &status)?;
        if !status.refusals.is_empty() || is_done(&status) {
            break;
        }
        if Instant::now() >= deadline {
            let problem = status.problem.as_deref().unwrap_or("it takes longer");
            return Err(CliError::unavailable(format!(
                "the copy was read up to position {} of {}, and {} wait: {problem}",
                status.position,
                status.copy_end,
                output::count(status.waiting, "head")
            )));
        }
        tokio::select! {
            _ = ending.recv() => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    // What it knows is kept where it is told to end.
    Ok(witness.run(watch::Sender::new(true).subscribe()).await?)
}

/// Turns until a signal comes.
async fn go_on(
    ctx: &Context,
    mut witness: Witness,
    mut told: Told,
) -> Result<Vec<Refusal>, CliError> {
    let mut ending = super::run::interrupts();
    let mut status = witness.status();
    let (stop, stopping) = watch::channel(false);
    let mut running = std::pin::pin!(witness.run(stopping));
    loop {
        tokio::select! {
            refusals = &mut running => {
                let last = status.borrow().clone();
                told.tell(ctx, &last)?;
                return Ok(refusals?);
            }
            Ok(()) = status.changed() => {
                let now = status.borrow_and_update().clone();
                told.tell(ctx, &now)?;
            }
            Some(()) = ending.recv() => {
                stop.send_replace(true);
            }
        }
    }
}

/// Whether everything that is there was read and answered.
fn is_done(status: &WitnessStatus) -> bool {
    status.problem.is_none() && status.position >= status.copy_end && status.waiting == 0
}

/// Lines that were told; a new one only where the state is another.
struct Told {
    key: String,
    last: Option<(&'static str, Option<String>, usize)>,
}

impl Told {
    fn tell(&mut self, ctx: &Context, status: &WitnessStatus) -> Result<(), CliError> {
        let state = match status {
            status if !status.refusals.is_empty() => "refusing",
            status if status.problem.is_some() => "retrying",
            status if is_done(status) => "up to date",
            _ => "reading",
        };
        let seen = (state, status.problem.clone(), status.refusals.len());
        if self.last.as_ref() == Some(&seen) {
            return Ok(());
        }
        self.last = Some(seen);
        let line = Line {
            state,
            key: &self.key,
            timeline: status.timeline,
            position: status.position.0,
            cosigned: status.cosigned,
            waiting: status.waiting,
            problem: status.problem.as_deref(),
            refusals: &status.refusals,
        };
        if ctx.is_json() {
            let text = serde_json::to_string(&line)
                .map_err(|error| CliError::failed(format!("a line cannot be written: {error}")))?;
            return output::print(&format!("{text}\n"));
        }
        let mut text = format!(
            "{state} at position {} of timeline {}, {} given",
            status.position.0,
            status.timeline,
            output::count(status.cosigned as usize, "co-signature")
        );
        if let Some(problem) = &status.problem {
            text.push_str(&format!(": {}", output::clean(problem)));
        }
        for refusal in &status.refusals {
            text.push_str(&format!("\n  refused: {}", refusal_text(refusal)));
        }
        output::print(&format!("{text}\n"))
    }
}

fn refusal_text(refusal: &Refusal) -> String {
    let log = refusal.origin.as_deref().unwrap_or("every log");
    let place = refusal.position.map(|p| format!(" at position {p}")).unwrap_or_default();
    let size = refusal.size.map(|s| format!(" over {s} leaves")).unwrap_or_default();
    output::clean(&format!("{log}{place}{size}: {}", refusal.reason))
}

impl From<WitnessOpenError> for CliError {
    fn from(error: WitnessOpenError) -> Self {
        match error {
            WitnessOpenError::Unknown(error) => error.into(),
            WitnessOpenError::Copy(_) => Self::unavailable(error.to_string()),
            WitnessOpenError::Witness(error) => error.into(),
        }
    }
}

impl From<WitnessError> for CliError {
    fn from(error: WitnessError) -> Self {
        match error {
            WitnessError::Options(_) => Self::usage(error.to_string())
                .hint("name the site's key with `--log-key`; it is in `keys/signing.key.vkey`"),
            WitnessError::Sign(SignError::Inconsistent(_)) => {
                Self::damaged(error.to_string()).hint("see ops/runbooks/witness-refuses.md")
            }
            WitnessError::Folder { .. } | WitnessError::Sign(_) | WitnessError::TooNew { .. } => {
                Self::unavailable(error.to_string())
            }
        }
    }
}
