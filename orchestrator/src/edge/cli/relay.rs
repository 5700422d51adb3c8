//! `dagbook relay`: keep the second copy, the signed heads and the tiles up to date, until a
//! signal ends it.

use std::time::Duration;

use dagbook_events::journal::GuardState;
use dagbook_events::journal::relay::RelayState;
use serde::Serialize;
use tokio::time::Instant;

use super::{CliError, Context, ExitCode, output};
use crate::wiring::{Installation, Keeper, KeeperError, KeeperStatus, Purpose};

const EXAMPLES: &str = "\
Examples:
  dagbook relay                            until Ctrl-C or TERM
  dagbook relay --once                     until all is up to date, at most a minute
  dagbook relay --output json              a JSON object a line

A line is printed whenever the state changes. Every command that appends does this work itself
while it lasts; this one does it where nothing else runs. Several may run at once.

Exit codes: 0 it was told to end (or is up to date)   4 not up to date within the time of --once
            6 the record and its copy, or what was signed, contradict each other";

/// How it runs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// End as soon as everything is up to date
    #[arg(long)]
    once: bool,
    /// With --once: give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "once")]
    within: u64,
}

/// How long the copy may be behind before that is a state of its own.
const GRACE: Duration = Duration::from_secs(2);

/// How often things are looked at where nothing is told.
const LOOK: Duration = Duration::from_millis(500);

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    state: &'static str,
    position: u64,
    copied: Option<u64>,
    lag: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Keeps it up to date.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let data = ctx.data(None)?;
    let mut installation = Installation::open(ctx.config(), &data, Purpose::Keep).await?;
    let Some(mut keeper) = installation.keeper.take() else {
        return Err(CliError::usage("there is nothing to keep up to date")
            .hint("name a `bus` (`nats://HOST`) or `objects` in dagbook.toml"));
    };
    let ended = match args.once {
        true => once(&installation, &keeper, Duration::from_secs(args.within)).await,
        false => watch(ctx, &mut keeper).await,
    };
    let last = Lines::default().of(&keeper.status());
    keeper.stop().await;
    ended?;
    print(ctx, &Line { state: "stopped", problem: None, ..last })?;
    Ok(ExitCode::Success)
}

async fn once(
    installation: &Installation,
    keeper: &Keeper,
    within: Duration,
) -> Result<(), CliError> {
    let started = Instant::now();
    keeper.first_look(within).await?;
    let head = installation.deps.store.head().await?;
    let left = within.saturating_sub(started.elapsed());
    Ok(keeper.caught_up(head, left).await?)
}

/// Tells each change of state, until a signal comes or the record is halted.
async fn watch(ctx: &Context, keeper: &mut Keeper) -> Result<(), CliError> {
    let mut ending = super::run::interrupts();
    let mut lines = Lines::default();
    loop {
        let status = keeper.status();
        if let Some(line) = lines.changed(&status) {
            print(ctx, &line)?;
        }
        if let GuardState::Halted(reason) = status.guard {
            return Err(KeeperError::Halted(reason).into());
        }
        tokio::select! {
            _ = ending.recv() => return Ok(()),
            () = keeper.changed(LOOK) => {}
        }
    }
}

/// Makes lines of what is seen, one for each change of state.
#[derive(Default)]
struct Lines {
    last: Option<(&'static str, Option<String>)>,
    behind_since: Option<Instant>,
}

impl Lines {
    fn of(&mut self, status: &KeeperStatus) -> Line {
        let relay = status.relay.as_ref();
        let position = relay.map_or(status.turn.head.0, |relay| relay.head.0.max(relay.copied.0));
        let lag = relay.map_or(0, |relay| relay.lag());
        match lag {
            0 => self.behind_since = None,
            _ => self.behind_since = self.behind_since.or(Some(Instant::now())),
        }
        let is_behind = self.behind_since.is_some_and(|since| since.elapsed() >= GRACE);
        let state = match (&status.guard, relay.map(|relay| relay.state)) {
            (GuardState::Halted(_), _) | (_, Some(RelayState::Halted)) => "halted",
            (_, Some(RelayState::Retrying)) => "retrying",
            (GuardState::Waiting(_), _) | (_, Some(RelayState::Starting)) => "comparing",
            _ if !status.turn.problems.is_empty() => "retrying",
            _ if is_behind => "behind",
            _ => "up to date",
        };
        let of_relay = relay.and_then(|relay| relay.last_error.clone());
        let problem = match state {
            "halted" | "retrying" => of_relay.or_else(|| status.turn.problems.first().cloned()),
            _ => None,
        };
        Line { state, position, copied: relay.map(|relay| relay.copied.0), lag, problem }
    }

    fn changed(&mut self, status: &KeeperStatus) -> Option<Line> {
        let was_behind = self.behind_since.is_some();
        let line = self.of(status);
        // A short lag is the ordinary way of things: neither its begin nor its end is news.
        if line.state == "up to date" && line.lag > 0 && !was_behind {
            return None;
        }
        let seen = (line.state, line.problem.clone());
        if self.last.as_ref() == Some(&seen) {
            return None;
        }
        self.last = Some(seen);
        Some(line)
    }
}

fn print(ctx: &Context, line: &Line) -> Result<(), CliError> {
    if ctx.is_json() {
        let text = serde_json::to_string(line)
            .map_err(|error| CliError::failed(format!("a line cannot be written: {error}")))?;
        return output::print(&format!("{text}\n"));
    }
    let mut text = format!("{} at position {}", line.state, line.position);
    if line.lag > 0 {
        text.push_str(&format!(", {} behind", line.lag));
    }
    if let Some(problem) = &line.problem {
        text.push_str(&format!(": {}", output::clean(problem)));
    }
    output::print(&format!("{text}\n"))
}
