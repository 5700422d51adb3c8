//! `dagbook serve`: the engine for many people, behind its HTTP API.

mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::settings::Settings;
use super::run::interrupts;
use super::{CliError, Context, ExitCode, output};
use crate::app::administration::Administration;
use crate::app::error::AppError;
use crate::app::operations::Operations;
use crate::app::token_text::TokenText;
use crate::app::tokens;
use crate::edge::http::listen::Listener;
use crate::edge::http::{Api, ApiParts, CursorKey, router};
use crate::server::{Server, ServerOptions, Standing, StartError};

/// How often what has expired is taken from the shelf.
const SWEEP: Duration = Duration::from_secs(60);
/// How long the store may take at the start until it takes something.
const PREPARING: Duration = Duration::from_secs(60);
/// How long it is left alone meanwhile.
const PAUSE: Duration = Duration::from_millis(250);
/// Things taken from the shelf at one time.
const SWEPT: usize = 1_000;

/// How long a request for a bundle waits for cosignatures: less than a request may take.
const COSIGNED_WITHIN: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  dagbook serve                                      here, for this machine, without any set-up
  dagbook serve --listen 0.0.0.0:7411 --tls-cert server.pem --tls-key server.key
  DAGBOOK_STORE=postgres://… DAGBOOK_BUS=nats://… dagbook serve    one of several servers

The first start on an empty store prints an admin token, once. Then, from anywhere:
  dagbook submit dag.yaml --server http://127.0.0.1:7411 --token dgb_…

INT or TERM ends it politely: streams are told, open requests end, steps run on and are taken up
again by whoever serves next. A second signal ends it at once.

Bounds are in dagbook.toml under `http_limits`; ops/docs/http-api.md lists them.";

/// How to serve.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:7411]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The certificate chain for TLS, in PEM form; read again when it changes
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<std::path::PathBuf>,
    /// The certificate's private key, in PEM form
    #[arg(long, value_name = "FILE")]
    tls_key: Option<std::path::PathBuf>,
    /// Attempts at one time on this machine [default: four for each core]
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
}

/// What is printed when it is ready.
#[derive(Debug, Serialize)]
struct Ready<'a> {
    /// Where it listens, with the real port.
    address: SocketAddr,
    /// What clients are given.
    server: String,
    /// Where the data are.
    data: String,
    /// The first admin token, the one time that it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_token: Option<&'a str>,
}

/// Serves until a signal ends it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let mut signals = interrupts();
    let settings = Settings::of(ctx, &args)?;
    let listener = settings.listener().await?;
    let address = listener.address()?;
    if !listener.is_tls() && !address.ip().is_loopback() {
        ctx.tell("warning: tokens travel in the clear; give `--tls-cert` and `--tls-key`");
    }
    let mut options = ServerOptions::new(ctx.config().clone(), settings.data.clone());
    options.slots = args.slots.or(options.slots);
    options.telemetry = ctx.telemetry();
    let server = tokio::select! {
        started = Server::start(options) => Arc::new(started?),
        _ = signals.recv() => return Ok(ExitCode::Success),
    };
    let ended = serve(ctx, &settings, listener, &server, &mut signals).await;
    if !matches!(ended, Ok(Ended::AtOnce)) {
        tokio::select! {
            () = server.shutdown() => {}
            _ = signals.recv() => return Ok(ExitCode::Canceled),
        }
    }
    match ended? {
        Ended::Politely => Ok(ExitCode::Success),
        Ended::AtOnce => Ok(ExitCode::Canceled),
    }
}

/// How the serving ended.
enum Ended {
    Politely,
    AtOnce,
}

async fn serve(
    ctx: &Context,
    settings: &Settings,
    listener: Listener,
    server: &Arc<Server>,
    signals: &mut mpsc::UnboundedReceiver<()>,
) -> Result<Ended, CliError> {
    let administration = Administration {
        services: server.services().clone(),
        directory: server.directory().clone(),
        sealer: server.installation().site_keys.clone(),
        site: server.installation().site(),
    };
    let address = listener.address()?;
    let is_tls = listener.is_tls();
    let prepared = tokio::select! {
        prepared = prepare(server, &administration) => prepared?,
        _ = signals.recv() => return Ok(Ended::Politely),
    };
    let (cursors, first) = prepared;
    let api = api(ctx, settings, server, &administration, cursors)?;
    sweep(server);
    let stopping = api.stopping.clone();
    let serving = tokio::spawn(listener.serve(router(api), stopping.clone()));
    announce(ctx, settings, server, (address, is_tls), first.as_ref())?;
    let failure = tokio::select! {
        _ = signals.recv() => None,
        failure = server.failed() => Some(failure),
    };
    ctx.tell("stopping; once more ends it at once");
    finish(stopping, serving, signals).await.map_or(Ok(Ended::AtOnce), |()| match failure {
        None => Ok(Ended::Politely),
        Some(failure) => Err(CliError::failed(format!("a part of the server died: {failure}"))
            .hint("start it again: nothing that was acknowledged is lost")),
    })
}

/// Waits for the open requests; none: a second signal came.
async fn finish(
    stopping: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    signals: &mut mpsc::UnboundedReceiver<()>,
) -> Option<()> {
    stopping.cancel();
    tokio::select! {
        // However it ended, it has.
        _ = serving => Some(()),
        _ = signals.recv() => None,
    }
}

/// What the store must give before anybody is answered: the key of cursors, and the first token
/// where there is none. A record that is still being compared with its copy takes nothing yet: it
/// is waited for, as for a store that is away.
async fn prepare(
    server: &Server,
    administration: &Administration,
) -> Result<(CursorKey, Option<TokenText>), CliError> {
    let began = Instant::now();
    let mut told = false;
    loop {
        let services = server.services();
        let load = CursorKey::load(services.shelf.as_ref(), services.rng.as_ref());
        let prepared = match load.await {
            Ok(cursors) => tokens::bootstrap(administration).await.map(|first| (cursors, first)),
            Err(error) => Err(error),
        };
        match prepared {
            Err(error @ AppError::Unavailable { .. }) if began.elapsed() < PREPARING => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "the store takes nothing yet; trying again");
                }
                tokio::time::sleep(PAUSE).await;
            }
            prepared => return prepared.map_err(failed),
        }
    }
}

fn api(
    ctx: &Context,
    settings: &Settings,
    server: &Arc<Server>,
    administration: &Administration,
    cursors: CursorKey,
) -> Result<Api, CliError> {
    let services = server.services().clone();
    let installation = server.installation();
    let logins = installation.logins(&ctx.config().oidc, server.directory()).map_err(failed)?;
    let operations: Arc<dyn Operations> = server.clone();
    let api = Api::new(ApiParts {
        services,
        authenticate: Arc::new(server.directory().clone()),
        operations,
        logs: installation.logs(),
        limits: settings.limits.clone(),
        cursors,
    });
    let evidence = installation.evidence(ctx.config(), COSIGNED_WITHIN)?;
    let api = api.administered(administration.clone()).with_logins(logins).with_evidence(evidence);
    Ok(api.archived(installation.archive.clone()).observed(ctx.telemetry()))
}

/// Takes what has expired from the shelf, as long as the server runs.
fn sweep(server: &Server) {
    let shelf = server.services().shelf.clone();
    server.feed("the sweep of the shelf", async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            // A store that is away is asked again.
            if let Err(error) = shelf.sweep(SWEPT).await {
                tracing::debug!(%error, "the shelf was not swept");
            }
        }
    });
}

fn announce(
    ctx: &Context,
    settings: &Settings,
    server: &Server,
    (address, is_tls): (SocketAddr, bool),
    first: Option<&TokenText>,
) -> Result<(), CliError> {
    let url = format!("{}://{address}", if is_tls { "https" } else { "http" });
    let data = settings.data.root().display().to_string();
    if ctx.is_json() {
        let admin_token = first.map(TokenText::reveal);
        return output::json(&Ready { address, server: url, data, admin_token });
    }
    let mut text = format!("dagbook serves on {url}\n");
    if let Some(token) = first {
        text.push_str(&format!("admin token, shown this once: {}\n", token.reveal()));
    }
    output::print(&text)?;
    ctx.tell(&format!("data: {data}"));
    if let Standing::Standby(lease) = &*server.standing().borrow() {
        ctx.tell(&format!("another server leads ({}); this one stands by", lease.holder));
    }
    let token = if first.is_some() { "the token above" } else { "a token" };
    ctx.tell(&format!("next, with {token}: dagbook submit dag.yaml --server {url} --token dgb_…"));
    Ok(())
}

fn failed(error: AppError) -> CliError {
    match error {
        AppError::Unavailable { .. } => CliError::unavailable(error.to_string()),
        AppError::Damaged(_) => CliError::damaged(error.to_string()),
        AppError::Internal(_) => CliError::failed(error.to_string()),
        _ => CliError::usage(error.to_string()),
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Open(error) => error.into(),
            StartError::App(error) => failed(error),
            StartError::NoLeases => Self::usage(error.to_string()),
            StartError::Machine(_) => Self::unavailable(error.to_string()),
        }
    }
}
