//! Where logs and the run behind them are: here, or at a server.

use std::path::PathBuf;

use dagbook_events::ids::{RunId, StreamName};
use dagbook_events::project::RunView;
use tokio::sync::mpsc;

use crate::app::retention::load;
use crate::client::Client;
use crate::edge::cli::remote::{History, Recent};
use crate::edge::cli::{CliError, Context, OpenRecord};

/// Facts that wait to be looked at.
const WAITING: usize = 256;

/// Where logs are read.
#[derive(Clone)]
pub enum Logs {
    /// Files of this folder.
    Folder(PathBuf),
    /// A server; whether to stay with logs that grow.
    Server(Client, bool),
}

/// Where the run is.
pub enum Origin {
    /// In the record here.
    Here(Box<OpenRecord>),
    /// At a server, with the views that its events make.
    There { client: Client, news: Option<mpsc::Receiver<Result<RunView, CliError>>> },
}

impl Origin {
    /// Finds the run that a person means, as far as it is now.
    pub async fn open(
        ctx: &Context,
        wanted: &str,
        follow: bool,
    ) -> Result<(Self, RunId, RunView), CliError> {
        let Some(remote) = ctx.remote()? else {
            let record = ctx.record().await?;
            let run = record.select(wanted).await?;
            let view = record.view(run).await?;
            return Ok((Self::Here(Box::new(record)), run, view));
        };
        let run = remote.select(wanted).await?;
        let view = History::read(&remote, run).await?.view;
        let client = remote.client.clone();
        let is_open = follow && !view.state.is_finished();
        let news = is_open.then(|| {
            let (sender, news) = mpsc::channel(WAITING);
            tokio::spawn(watch(History::follow(&remote, run, false), view.state.version, sender));
            news
        });
        Ok((Self::There { client, news }, run, view))
    }

    /// Why there is nothing to be read: it went by policy, or there never was anything.
    pub async fn why_nothing(&self, view: &RunView) -> Result<String, CliError> {
        let nothing = "nothing was written".to_string();
        let (Self::Here(record), Some(ended_at)) = (self, view.finished_at) else {
            return Ok(nothing);
        };
        let policies = load(record.installation.deps.store.as_ref()).await;
        let own = policies.map_err(|error| CliError::failed(error.to_string()))?;
        let own = own.of(record.tenant()).1;
        Ok(match own.logs_went(ended_at) {
            Some(at) => format!(
                "the logs of this run went at {}, as the retention policy says; see `dagbook \
                 retention show`",
                at.to_rfc3339()
            ),
            None => nothing,
        })
    }

    /// Where the logs of the run are.
    pub fn logs(&self, follow: bool) -> Logs {
        match self {
            Self::Here(record) => Logs::Folder(record.layout().logs()),
            Self::There { client, .. } => Logs::Server(client.clone(), follow),
        }
    }

    /// Whether some process drives the run, as far as that is known here.
    pub fn is_driven(&self, run: RunId) -> bool {
        match self {
            Self::Here(record) => record.is_driven(run),
            Self::There { .. } => true,
        }
    }

    /// Adds what was recorded since.
    pub async fn catch_up(&mut self, run: RunId, view: &mut RunView) -> Result<(), CliError> {
        if view.state.is_finished() {
            return Ok(());
        }
        match self {
            Self::Here(record) => {
                let stream = StreamName::run(run);
                for recorded in
                    record.recorder.stream(record.tenant(), &stream, view.state.version).await?
                {
                    view.apply(&recorded.fact);
                }
            }
            Self::There { news, .. } => {
                while let Some(Ok(seen)) = news.as_mut().map(mpsc::Receiver::try_recv) {
                    *view = seen?;
                }
            }
        }
        Ok(())
    }
}

/// Sends the view whenever there is something new in it.
async fn watch(mut history: History, known: u64, news: mpsc::Sender<Result<RunView, CliError>>) {
    loop {
        let next = history.next().await;
        let is_over = history.view.state.is_finished();
        let seen = match next {
            Ok(Recent::Over) => return,
            Err(error) => Err(error),
            Ok(Recent::Fact(_)) if history.view.state.version <= known => continue,
            Ok(Recent::Fact(_)) => Ok(history.view.clone()),
        };
        let failed = seen.is_err();
        if news.send(seen).await.is_err() || failed || is_over {
            return;
        }
    }
}
