//! The server within its process: configured by the same variables as `dagbook serve`, asked by
//! lines of JSON, and answering each with a line.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dagbook::app::number;
use dagbook::app::source::Loaded;
use dagbook::app::submit::{Stamp, submission};
use dagbook::config::{Config, DataDir, Overrides};
use dagbook::server::{Server, ServerOptions, Standing};
use dagbook_events::dag::SourceBundle;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::ports::Actor;
use dagbook_events::run::Ask;
use dagbook_events::run::event::Source;
use dagbook_events::step::StopCause;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// What a server is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Accept a run.
    Submit {
        /// Correlates the answer.
        id: u64,
        /// Whose.
        tenant: TenantId,
        /// Under which id.
        run: RunId,
        /// The DAG file.
        dag: String,
    },
    /// Cancel a run.
    Cancel {
        /// Correlates the answer.
        id: u64,
        /// Whose.
        tenant: TenantId,
        /// Which.
        run: RunId,
    },
    /// Say how it stands.
    Ready {
        /// Correlates the answer.
        id: u64,
    },
    /// Stop gracefully.
    Stop,
}

/// What it says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It has started.
    Started,
    /// It leads, under this epoch, or leads no more.
    Leads(Option<u64>),
    /// What became of a request.
    Answer {
        /// Which.
        id: u64,
        /// None: it was accepted and is durable.
        error: Option<String>,
        /// Whether it should be asked again.
        again: bool,
    },
    /// How it stands.
    Readiness {
        /// Correlates the answer.
        id: u64,
        /// Whether requests should come here.
        ready: bool,
        /// The parts that are not well, with their reasons.
        failing: BTreeMap<String, String>,
    },
    /// It cannot go on.
    Failed(String),
}

fn say(said: &Said) {
    println!("{}", serde_json::to_string(said).expect("plain data"));
}

/// Serves until it is told to stop or nobody speaks to it any more.
pub fn run() -> ExitCode {
    let level = std::env::var("DAGBOOK_LOG_LEVEL").unwrap_or_default();
    let metrics = dagbook::telemetry::Metrics::new();
    let format = dagbook::telemetry::logs::LogFormat::Pretty;
    dagbook::telemetry::logs::begin(&level, format, &metrics);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let code = runtime.block_on(serve());
    runtime.shutdown_background();
    code
}

async fn serve() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok();
    let config = Config::load(&Overrides::default(), variable, None).expect("a configuration");
    let data = DataDir::find(&config, None, variable).expect("a data folder");
    let mut options = ServerOptions::new(config, data);
    if let Some(ms) = variable("DRILL_PATIENCE_MS").and_then(|text| text.parse().ok()) {
        options.patience = Duration::from_millis(ms);
    }
    let server = match Server::start(options).await {
        Ok(server) => Arc::new(server),
        Err(error) => {
            say(&Said::Failed(error.to_string()));
            return ExitCode::from(4);
        }
    };
    say(&Said::Started);
    let mut standing = server.standing();
    tokio::spawn(async move {
        loop {
            let epoch = match &*standing.borrow_and_update() {
                Standing::Leading { lease, life } if !life.is_over() => Some(lease.fence.epoch),
                _ => None,
            };
            say(&Said::Leads(epoch));
            if standing.changed().await.is_err() {
                return;
            }
        }
    });
    let mut lines = lines();
    loop {
        tokio::select! {
            failure = server.failed() => {
                say(&Said::Failed(failure.to_string()));
                return ExitCode::FAILURE;
            }
            line = lines.recv() => {
                let Some(line) = line else { return ExitCode::SUCCESS };
                match serde_json::from_str(&line).expect("a request") {
                    Request::Stop => {
                        server.shutdown().await;
                        return ExitCode::SUCCESS;
                    }
                    request => {
                        let server = server.clone();
                        tokio::spawn(async move { answer(&server, request).await });
                    }
                }
            }
        }
    }
}

/// Lines of standard input, until nobody speaks any more.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn answer(server: &Server, request: Request) {
    let by = Actor::new("token", "drill");
    let engine = &server.services().engine;
    let (id, done) = match request {
        Request::Submit { id, tenant, run, dag } => {
            (id, submit(server, tenant, run, &dag, &by).await)
        }
        Request::Cancel { id, tenant, run } => {
            let reason = "a drill".to_string();
            let ask = Ask::Cancel { cause: StopCause::User, reason, force: false };
            (id, engine.ask(&tenant, run, ask, &by).await)
        }
        Request::Ready { id } => {
            let readiness = server.readiness();
            let failing = readiness.parts.into_iter().filter(|part| !part.ok);
            let failing = failing.map(|part| (part.name, part.detail)).collect();
            return say(&Said::Readiness { id, ready: readiness.ready, failing });
        }
        Request::Stop => return,
    };
    let again = matches!(done, Err(dagbook::app::error::AppError::Unavailable { .. }));
    let error = done.err().map(|error| error.to_string());
    say(&Said::Answer { id, error, again });
}

async fn submit(
    server: &Server,
    tenant: TenantId,
    run: RunId,
    dag: &str,
    by: &Actor,
) -> Result<(), dagbook::app::error::AppError> {
    let services = server.services();
    let files = BTreeMap::from([("dag.yaml".to_string(), dag.to_string())]);
    let bundle = SourceBundle { entry: "dag.yaml".to_string(), files };
    let loaded = Loaded {
        source: Source { bundle, folder: None, archive: None, pipelines: Default::default() },
        hash: Sha256Digest::of(dag.as_bytes()),
        path: "dag.yaml".into(),
    };
    let number = number::next(&services.recorder, services.shelf.as_ref(), &tenant).await?;
    let stamp = Stamp { run, number, tenant };
    let submitted = submission(services.recorder.planner(), &loaded, BTreeMap::new(), stamp)
        .map_err(dagbook::app::error::AppError::Findings)?;
    services.engine.submit(submitted, by, None).await.map(drop)
}
