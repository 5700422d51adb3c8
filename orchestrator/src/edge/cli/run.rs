//! `dagbook run`: plan and run a DAG here, to its end; or go on with a run that was interrupted.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

use dagbook_events::ids::RunId;
use dagbook_events::ports::Clock;
use dagbook_events::run::event::Submitted;
use dagbook_events::run::{RunState, RunStatus};
use dagbook_events::value::Value;
use tokio::sync::mpsc;

use super::progress::{Live, Plain, Progress, Quiet, print_summary};
use super::{CliError, Context, ExitCode, keeping, output, select};
use crate::app::drive::{Ended, Seen, drive};
use crate::app::submit::{Stamp, submission};
use crate::app::{number, reports, source, stamp};
use crate::runtime::record::Recorder;
use crate::runtime::{AskError, Runtime, Watch, start};
use crate::server::is_led;
use crate::telemetry::metrics::MeasuredStore;
use crate::wiring::{Installation, Purpose};

/// How long those who watch a run may take to end with it.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  dagbook run dag.yaml
  dagbook run dag.yaml --param epochs=3 --set-file prompt=prompt.txt
  dagbook run --resume latest          go on with a run that was interrupted

Ctrl-C cancels the run and lets `finally` steps run; a second one kills; a third one leaves.";

/// What to run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The DAG file
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    file: Option<PathBuf>,
    /// Set a parameter
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Set a parameter to the content of a file
    #[arg(long = "set-file", value_name = "NAME=PATH")]
    files: Vec<String>,
    /// Go on with this run, which was interrupted
    #[arg(long, value_name = "RUN")]
    resume: Option<String>,
    /// Attempts at one time on this machine [default: four for each core]
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
    /// Start a new run even where an interrupted one of the same pipeline could go on
    #[arg(long)]
    new: bool,
}

/// Runs it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let installation = open(ctx, args.file.as_deref(), args.slots).await?;
    let recorder = Recorder::new(&installation.deps);
    if let Some(wanted) = &args.resume {
        let run = select::run(&recorder, &installation.deps.tenant, wanted).await?;
        return resume(ctx, &installation, &recorder, run).await;
    }
    let file = args.file.as_deref().unwrap_or(std::path::Path::new("dag.yaml"));
    let loaded = source::load(file).map_err(|e| CliError::usage(e.to_string()))?;
    let params = parse_params(&args.params, &args.files)?;
    let stamp = Stamp {
        run: stamp::run_id(installation.deps.clock.as_ref(), installation.deps.rng.as_ref()),
        number: number::next(
            &recorder,
            installation.deps.shelf.as_ref(),
            &installation.deps.tenant,
        )
        .await?,
        tenant: installation.deps.tenant.clone(),
    };
    let submitted = submission(recorder.planner(), &loaded, params, stamp)
        .map_err(|findings| super::lint::refuse(&findings, &loaded.source.bundle, file))?;
    if !args.new
        && let Some(run) = offer(ctx, &installation, &recorder, &submitted).await?
    {
        return resume(ctx, &installation, &recorder, run).await;
    }
    submit(ctx, &installation, &recorder, submitted).await
}

/// Opens the installation for running steps.
pub(super) async fn open(
    ctx: &Context,
    beside: Option<&std::path::Path>,
    slots: Option<u32>,
) -> Result<Installation, CliError> {
    let data = ctx.data(beside)?;
    let slots = slots.or(ctx.config().slots);
    Ok(Installation::open(ctx.config(), &data, Purpose::Execute { slots }).await?)
}

/// `NAME=VALUE` and `NAME=PATH` into parameters; text is given its declared type later.
pub(super) fn parse_params(
    values: &[String],
    files: &[String],
) -> Result<BTreeMap<String, Value>, CliError> {
    let mut params = BTreeMap::new();
    let split = |text: &str| {
        text.split_once('=')
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .ok_or_else(|| CliError::usage(format!("`{text}` is not NAME=VALUE")))
    };
    for text in values {
        let (name, value) = split(text)?;
        params.insert(name, Value::str(value));
    }
    for text in files {
        let (name, path) = split(text)?;
        let content = std::fs::read_to_string(&path)
            .map_err(|e| CliError::usage(format!("cannot read {path}: {e}")))?;
        params.insert(name, Value::str(content));
    }
    Ok(params)
}

/// An interrupted run of the same file, if the person wants to go on with it.
async fn offer(
    ctx: &Context,
    installation: &Installation,
    recorder: &Recorder,
    submitted: &Submitted,
) -> Result<Option<RunId>, CliError> {
    for run in installation.interrupted().into_iter().rev() {
        let Ok(facts) = recorder.facts(&installation.deps.tenant, run).await else { continue };
        let state = dagbook_events::run::fold(&facts);
        let Some(earlier) = state.submitted.clone() else { continue };
        let same = earlier.pipeline == submitted.pipeline
            && earlier.source.folder == submitted.source.folder
            && earlier.parent.is_none();
        if state.is_finished() || !same {
            continue;
        }
        let (number, short) = (earlier.number, run);
        let asked = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if asked && !ctx.is_quiet() {
            eprint!("Run #{number} of this pipeline was interrupted. Go on with it? [Y/n] ");
            let mut answer = String::new();
            let read = std::io::stdin().read_line(&mut answer);
            let yes = read.is_ok() && !answer.trim().to_lowercase().starts_with('n');
            return Ok(yes.then_some(run));
        }
        ctx.tell(&format!(
            "note: run #{number} of this pipeline was interrupted; \
             go on with it by `dagbook run --resume {short}`"
        ));
        return Ok(None);
    }
    Ok(None)
}

/// Submits and drives it to its end.
pub(super) async fn submit(
    ctx: &Context,
    installation: &Installation,
    recorder: &Recorder,
    mut submitted: Submitted,
) -> Result<ExitCode, CliError> {
    submitted.driven_at = installation.deps.places.get("local").cloned();
    let run = submitted.run;
    if submitted.traceparent.is_none() {
        submitted.traceparent = ctx.started_within().map(|above| above.to_string());
    }
    let (runtime, seen) = observed(ctx, installation, recorder);
    let watch = runtime.watch();
    runtime.submit(submitted, &installation.deps.person).await.map_err(ask_error)?;
    let code = follow(ctx, installation, recorder, &runtime, run, watch).await;
    drop(runtime);
    // What it saw last is told before the process ends.
    let _ = tokio::time::timeout(LAST_WORDS, seen).await;
    code
}

/// Takes the run over and drives it to its end.
pub(super) async fn resume(
    ctx: &Context,
    installation: &Installation,
    recorder: &Recorder,
    run: RunId,
) -> Result<ExitCode, CliError> {
    let facts = recorder.facts(&installation.deps.tenant, run).await?;
    let state = dagbook_events::run::fold(&facts);
    if state.submitted.as_ref().is_some_and(|facts| facts.driven_at.is_none())
        && is_led(installation).await
    {
        return Err(CliError::refused(format!("run {run} is driven by a server"))
            .hint(format!("`dagbook show {run}` shows how far it is")));
    }
    if state.is_finished() {
        return Err(CliError::refused(format!("run {run} is over"))
            .hint(format!("`dagbook retry {run}` runs it again")));
    }
    let (runtime, seen) = observed(ctx, installation, recorder);
    let watch = runtime.watch();
    runtime.adopt(&installation.deps.tenant, run).await.map_err(ask_error)?;
    let code = follow(ctx, installation, recorder, &runtime, run, watch).await;
    drop(runtime);
    // What it saw last is told before the process ends.
    let _ = tokio::time::timeout(LAST_WORDS, seen).await;
    code
}

/// Starts the orchestrator, with whoever counts and traces what it records.
fn observed(
    ctx: &Context,
    installation: &Installation,
    recorder: &Recorder,
) -> (Runtime, tokio::task::JoinHandle<()>) {
    let telemetry = ctx.telemetry();
    let mut deps = installation.deps.clone();
    deps.store = MeasuredStore::around(deps.store, telemetry.metrics.clone());
    let runtime = start(deps);
    let seen = telemetry.observe(runtime.watch(), recorder.clone());
    (runtime, seen)
}

fn ask_error(error: AskError) -> CliError {
    match error {
        AskError::Elsewhere(run) => {
            CliError::refused(format!("run {run} is being driven by another process"))
                .hint(format!("`dagbook show {run}` shows how far it is"))
        }
        other => CliError::unavailable(other.to_string()),
    }
}

async fn follow(
    ctx: &Context,
    installation: &Installation,
    recorder: &Recorder,
    runtime: &Runtime,
    run: RunId,
    watch: mpsc::UnboundedReceiver<Watch>,
) -> Result<ExitCode, CliError> {
    let mut display = display(ctx, installation, run);
    let clock = installation.deps.clock.clone();
    let mut troubled = false;
    let show = |seen: Seen<'_>, now| match seen {
        Seen::Facts(state, facts) => {
            troubled = false;
            display.facts(state, facts);
        }
        Seen::Tick(state) => display.tick(state, now),
        Seen::Trouble(reason) => {
            if !troubled {
                display.note(&format!("the store does not answer ({reason}); trying again"));
            }
            troubled = true;
        }
        Seen::Interrupt(1) => display.note("cancelling; once more kills"),
        Seen::Interrupt(2) => display.note("killing; once more leaves at once"),
        Seen::Interrupt(_) => display.note("leaving; the run can be resumed"),
    };
    let deps = &installation.deps;
    let which = (&deps.tenant, run);
    let drive =
        drive(runtime, recorder, clock.as_ref(), which, &deps.person, (watch, interrupts()), show);
    let ended = drive.await;
    display.close();
    runtime.shutdown().await;
    match ended? {
        Ended::Finished(state) => {
            // The copy first: a run is over for its person when both keepings have it.
            let kept = keeping::settle(ctx, installation).await;
            let code = finished(ctx, &state)?;
            kept.map(|()| code)
        }
        Ended::Abandoned(_) => {
            ctx.tell(&format!("resume it with `dagbook run --resume {run}`"));
            Ok(ExitCode::Canceled)
        }
        Ended::Stopped => Err(CliError::unavailable("the orchestrator stopped")),
    }
}

fn display(ctx: &Context, installation: &Installation, run: RunId) -> Box<dyn Progress> {
    if ctx.is_quiet() {
        return Box::new(Quiet);
    }
    if std::io::stderr().is_terminal() {
        return Box::new(Live::new(Some(installation.data.join("logs").join(run.to_string()))));
    }
    Box::new(Plain)
}

/// Each Ctrl-C or TERM is one item.
pub(super) fn interrupts() -> mpsc::UnboundedReceiver<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, receiver) = mpsc::unbounded_channel();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let sender = sender.clone();
        if let Ok(mut signals) = signal(kind) {
            tokio::spawn(async move {
                while signals.recv().await.is_some() && sender.send(()).is_ok() {}
            });
        }
    }
    receiver
}

fn finished(ctx: &Context, state: &RunState) -> Result<ExitCode, CliError> {
    if ctx.is_json() {
        output::json(&reports::ended::ended(state))?;
    } else if !ctx.is_quiet() {
        print_summary(state);
    }
    Ok(match state.status() {
        Some(RunStatus::Succeeded) => ExitCode::Success,
        Some(RunStatus::Canceled) => ExitCode::Canceled,
        Some(RunStatus::Rejected) => ExitCode::Refused,
        Some(RunStatus::Failed) | None => ExitCode::Failed,
    })
}

/// The time, for commands that stamp.
pub(super) fn now(installation: &Installation) -> dagbook_events::time::Timestamp {
    Clock::now(installation.deps.clock.as_ref())
}
