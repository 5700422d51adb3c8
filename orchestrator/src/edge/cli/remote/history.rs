//! A run of a server, folded here from the events that it sends: what follows a run needs its
//! state, and the state is a fold that anyone can do.

use std::collections::VecDeque;

use dagbook_events::canonical;
use dagbook_events::codec::planner::Planner;
use dagbook_events::codec::run::{CodecError, decode_text};
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::RunId;
use dagbook_events::project::RunView;
use dagbook_events::run::RunFact;

use super::{Remote, stream_path};
use crate::app::reports::EventReport;
use crate::client::EventStream;
use crate::edge::cli::CliError;

/// What is new.
pub enum Recent {
    /// Facts that the view has by now.
    Fact(Box<RunFact>),
    /// Nothing more will come.
    Over,
}

/// A run as its events tell it.
pub struct History {
    /// The fold of what came.
    pub view: RunView,
    planner: Planner,
    stream: Option<EventStream>,
    /// Events as they came, for who prints them.
    pub reports: VecDeque<EventReport>,
    keeps_reports: bool,
}

impl History {
    /// Everything until now.
    pub async fn read(remote: &Remote, run: RunId) -> Result<Self, CliError> {
        let mut history = Self::unborn(None, false);
        let mut reports = Vec::new();
        remote
            .events(run, |report| {
                reports.push(report);
                Ok(())
            })
            .await?;
        for report in reports {
            history.take(&report)?;
        }
        Ok(history)
    }

    /// Everything, and then what comes.
    pub fn follow(remote: &Remote, run: RunId, keeps_reports: bool) -> Self {
        Self::unborn(Some(remote.client.stream(&stream_path(run), None)), keeps_reports)
    }

    fn unborn(stream: Option<EventStream>, keeps_reports: bool) -> Self {
        Self {
            view: RunView::unborn(),
            planner: Planner::default(),
            stream,
            reports: VecDeque::new(),
            keeps_reports,
        }
    }

    /// The next fact, whenever it comes. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Recent, CliError> {
        loop {
            let Some(stream) = self.stream.as_mut() else { return Ok(Recent::Over) };
            let Some(event) = stream.next().await? else {
                self.stream = None;
                return Ok(Recent::Over);
            };
            // Other kinds than events of the run may come one day.
            let Ok(report) = serde_json::from_str::<EventReport>(&event.data) else { continue };
            if let Some(fact) = self.take(&report)? {
                if self.keeps_reports {
                    self.reports.push_back(report);
                }
                return Ok(Recent::Fact(Box::new(fact)));
            }
        }
    }

    /// Folds an event, unless it came before.
    fn take(&mut self, report: &EventReport) -> Result<Option<RunFact>, CliError> {
        let known = self.view.state.version;
        if report.version < known {
            return Ok(None);
        }
        let strange = |reason: String| {
            CliError::unavailable(format!(
                "event {} of the run cannot be understood: {reason}",
                report.version
            ))
        };
        if report.version > known {
            return Err(strange(format!("number {known} is missing before it")));
        }
        let leaf = canonical::to_vec(&report.leaf).map_err(|e| strange(e.to_string()))?;
        let envelope = Envelope::parse(&leaf).map_err(|e| strange(e.to_string()))?;
        let beside = match &report.beside {
            None => None,
            Some(beside) => Some(canonical::to_vec(beside).map_err(|e| strange(e.to_string()))?),
        };
        let event = decode_text(&envelope.kind, &envelope.data, beside.as_deref(), &self.planner);
        let event = event.map_err(|error| match error {
            CodecError::UnknownKind(_) => strange(error.to_string())
                .hint("the server is newer than this program; use the same version"),
            other => strange(other.to_string()),
        })?;
        let fact = RunFact { at: envelope.at, event };
        self.view.apply(&fact);
        Ok(Some(fact))
    }
}
