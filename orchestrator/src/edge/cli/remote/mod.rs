//! Commands against a server: the same words, from what it answers.

mod error;
mod follow;
mod history;
mod source;

use dagbook_events::ids::{RunId, StepKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CliError, Context, select};
use crate::app::reports::{EventReport, RunReport, RunRow};
use crate::client::{Client, ClientError, query, segment};

pub(super) use follow::{Follow, Interrupted, follow};
pub(super) use history::{History, Recent};
pub(super) use source::send as send_source;

/// A server, and what commands ask of it.
pub struct Remote {
    /// Speaks to it.
    pub client: Client,
}

impl Context {
    /// The server that was named; none: commands act on the record here.
    pub fn remote(&self) -> Result<Option<Remote>, CliError> {
        let Some(options) = self.server_options()? else { return Ok(None) };
        if options.is_in_the_clear() && options.token.is_some() {
            self.tell(&format!(
                "warning: the token travels to {} where everyone on the way can read it; use https",
                options.server.host_str().unwrap_or_default()
            ));
        }
        Ok(Some(Remote { client: Client::new(&options)? }))
    }

    /// The server, for a command that makes no sense without one.
    pub fn must_have_server(&self, command: &str) -> Result<Remote, CliError> {
        self.remote()?.ok_or_else(|| {
            CliError::usage(format!("`dagbook {command}` needs a server"))
                .hint("name it with `--server URL` or `DAGBOOK_SERVER`; `dagbook serve` starts one")
        })
    }
}

impl Remote {
    /// The run that a person means.
    pub async fn select(&self, wanted: &str) -> Result<RunId, CliError> {
        if let Ok(run) = wanted.parse::<RunId>() {
            return Ok(run);
        }
        let found = self.client.pages::<RunRow>("runs", &[("select", Some(wanted.into()))], 2);
        match found.take(2).await {
            Ok(runs) => match runs.as_slice() {
                [one] => Ok(one.run),
                _ => Err(select::unknown(wanted)),
            },
            Err(error) if error.status() == Some(404) => Err(match &error {
                // `there is 1 run`, `there is no run yet`: the server knows how many there are.
                ClientError::Problem(problem) if !problem.detail.is_empty() => {
                    let hint = problem.hint.clone();
                    let said = CliError::usage(problem.detail.clone());
                    said.hint(hint.unwrap_or_else(|| select::HINT.to_string()))
                }
                _ => select::unknown(wanted),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// A run in full.
    pub async fn report(&self, run: RunId) -> Result<RunReport, CliError> {
        self.about(run, self.client.get(&format!("runs/{run}")).await)
    }

    /// Asks something of a run.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        run: RunId,
        what: &str,
        body: &impl Serialize,
        key: Option<&str>,
    ) -> Result<T, CliError> {
        self.about(run, self.client.post(&format!("runs/{run}/{what}"), body, key).await)
    }

    /// The recorded events of a run, from a version on.
    pub async fn events(
        &self,
        run: RunId,
        mut each: impl FnMut(EventReport) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let path = format!("runs/{run}/events");
        let mut events = self.client.pages::<EventReport>(&path, &[], 500);
        while let Some(event) = self.about(run, events.next().await)? {
            each(event)?;
        }
        Ok(())
    }

    /// A 404 about a run is said in the words of this command line.
    pub fn about<T>(&self, run: RunId, asked: Result<T, ClientError>) -> Result<T, CliError> {
        asked.map_err(|error| match error {
            ClientError::Problem(problem)
                if problem.status == 404 && problem.detail.contains(&run.to_string()) =>
            {
                select::unknown(&run.to_string())
            }
            other => other.into(),
        })
    }
}

/// The path of a step of a run.
pub(super) fn step_path(run: RunId, step: &StepKey) -> String {
    format!("runs/{run}/steps/{}", segment(step.as_str()))
}

/// The stream of a run's events.
pub(super) fn stream_path(run: RunId) -> String {
    format!("runs/{run}/events/stream{}", query(&[]))
}
