//! From the argument vector to an exit code.

use clap::Parser;
use clap::error::ErrorKind;

use super::args::{Cli, ColorWhen, Command, OutputFormat};
use super::billing::{budget, contract, invoice, period, rate_card, usage};
use super::{
    CliError, Context, ExitCode, approve, audit, cancel, completions, doctor, events, graph, lint,
    logs, migrate, pause, pipeline, plan, relay, replay, retention, retry, run, runs, schedule,
    schema, secret, serve, show, signal, submit, tenant, timeline, token, version, why, witness,
};

/// Threads of the runtime: the writer and the shims are elsewhere, so two are enough, but for a
/// server.
const WORKERS: usize = 2;

/// Does what the arguments say.
pub fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error).into(),
    };
    choose_colours(cli.global.color);
    let format = cli.global.output;
    match start(cli) {
        Ok(code) => code.into(),
        Err(error) => {
            error.print(format);
            error.exit.into()
        }
    }
}

fn start(cli: Cli) -> Result<ExitCode, CliError> {
    let context = Context::new(cli.global)?;
    context.begin_log();
    let workers = match &cli.command {
        Command::Serve(_) => std::thread::available_parallelism().map_or(4, usize::from).max(2),
        _ => WORKERS,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(|e| CliError::unavailable(format!("the program cannot start: {e}")))?;
    let result = runtime.block_on(dispatch(&context, cli.command));
    // Work that nobody waits for (a read of a terminal, a look at the store) ends here.
    runtime.shutdown_background();
    context.finish_telemetry();
    result
}

async fn dispatch(ctx: &Context, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Run(args) => run::run(ctx, args).await,
        Command::Submit(args) => submit::run(ctx, args).await,
        Command::Lint(args) => lint::run(ctx, args).await,
        Command::Plan(args) => plan::run(ctx, args).await,
        Command::Graph(args) => graph::run(ctx, args).await,
        Command::Schema(args) => schema::run(ctx, args).await,
        Command::Runs(args) => runs::run(ctx, args).await,
        Command::Show(args) => show::run(ctx, args).await,
        Command::Logs(args) => logs::run(ctx, args).await,
        Command::Events(args) => events::run(ctx, args).await,
        Command::Why(args) => why::run(ctx, args).await,
        Command::Cancel(args) => cancel::run(ctx, args).await,
        Command::Pause(args) => pause::run(ctx, args).await,
        Command::Resume(args) => pause::resume(ctx, args).await,
        Command::Retry(args) => retry::run(ctx, args).await,
        Command::Approve(args) => approve::run(ctx, args).await,
        Command::Reject(args) => approve::reject(ctx, args).await,
        Command::Signal(args) => signal::run(ctx, args).await,
        Command::Replay(args) => replay::run(ctx, args).await,
        Command::Retention(args) => retention::run(ctx, args).await,
        Command::Audit(args) => audit::run(ctx, args).await,
        Command::RateCard(args) => rate_card::run(ctx, args).await,
        Command::Contract(args) => contract::run(ctx, args).await,
        Command::Period(args) => period::run(ctx, args).await,
        Command::Budget(args) => budget::run(ctx, args).await,
        Command::Usage(args) => usage::run(ctx, args).await,
        Command::Invoice(args) => invoice::run(ctx, args).await,
        Command::Serve(args) => serve::run(ctx, args).await,
        Command::Pipeline(args) => pipeline::run(ctx, args).await,
        Command::Schedule(args) => schedule::run(ctx, args).await,
        Command::Secret(args) => secret::run(ctx, args).await,
        Command::Tenant(args) => tenant::run(ctx, args).await,
        Command::Token(args) => token::run(ctx, args).await,
        Command::Migrate(args) => migrate::run(ctx, args).await,
        Command::Relay(args) => relay::run(ctx, args).await,
        Command::Witness(args) => witness::run(ctx, args).await,
        Command::Timeline(args) => timeline::run(ctx, args).await,
        Command::Doctor(args) => doctor::run(ctx, args).await,
        Command::Completions(args) => completions::run(ctx, args).await,
        Command::Version(args) => version::run(ctx, args).await,
    }
}

/// Arguments that make no sense, or a request for help.
fn refuse(error: &clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !asked && wants_json() {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut said = CliError::usage(message.trim());
        if !rest.trim().is_empty() {
            said = said.hint(rest.trim());
        }
        said.print(OutputFormat::Json);
        return ExitCode::Usage;
    }
    // Where it cannot be printed there is nobody to tell.
    let _ = error.print();
    if asked { ExitCode::Success } else { ExitCode::Usage }
}

fn wants_json() -> bool {
    let words: Vec<String> = std::env::args().collect();
    let separate = words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json");
    separate || words.iter().any(|word| word == "--output=json")
}

fn choose_colours(when: ColorWhen) {
    match when {
        ColorWhen::Auto => anstream::ColorChoice::Auto,
        ColorWhen::Always => anstream::ColorChoice::Always,
        ColorWhen::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}
