//! The door to the engine, on every replica. Where this process leads, the engine is asked
//! directly; elsewhere (and while it takes over) the command is recorded, and whoever leads hears
//! of it from the record.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::admission::Quota;
use dagbook_events::ids::{RunId, StepKey, StreamName, TenantId};
use dagbook_events::ports::{Actor, AppendError, AppendRequest, Clock, Expected, Shelf};
use dagbook_events::run::event::Submitted;
use dagbook_events::run::{Ask, Rejection, RunCommand, RunEvent, RunState, fold, handle};
use dagbook_events::time::Timestamp;
use dagbook_events::trace::TraceContext;
use tokio::sync::watch;

use crate::app::act::{self, ActError};
use crate::app::directory::Directory;
use crate::app::error::AppError;
use crate::app::ports::WaitFigures;
use crate::app::services::EngineDoor;
use crate::app::{quotas, waits};
use crate::engine::{Decided, Outgoing, Refusal, StreamPart};
use crate::runtime::record::{RecordError, Recorder};
use crate::runtime::{AskError, Runtime};

/// How long an answer is waited for. What was asked may happen all the same.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often an append is repeated whose fate is unknown.
const TRIES: u32 = 5;

/// The door of one replica.
pub(super) struct Door {
    pub(super) runtime: watch::Receiver<Option<Runtime>>,
    pub(super) recorder: Recorder,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shelf: Arc<dyn Shelf>,
    pub(super) directory: Directory,
    /// Bounds of the site.
    pub(super) site: Quota,
}

impl Door {
    /// Back-pressure: a tenant or a site with too many runs takes no more.
    async fn check_submission(&self, tenant: &TenantId) -> Result<(), AppError> {
        let quota = self.directory.settings(tenant).map(|it| it.quota).unwrap_or_default();
        let (store, runtime) = (self.recorder.store(), self.leading());
        let check =
            quotas::check_submission(store.as_ref(), runtime.as_ref(), tenant, &quota, &self.site);
        within(check).await?
    }

    fn leading(&self) -> Option<Runtime> {
        self.runtime.borrow().clone()
    }

    /// Records the submission as its run's first events; the leader finds it there.
    async fn record_submission(
        &self,
        submitted: &Submitted,
        by: &Arc<Actor>,
    ) -> Result<Timestamp, AppError> {
        let run = submitted.run;
        let at = self.clock.now();
        let command = RunCommand { at, ask: Ask::Submit(Box::new(submitted.clone())) };
        let facts = handle(&mut RunState::unborn(), &command).map_err(rejected)?;
        let trace = submitted.traceparent.as_deref().map(Arc::from);
        let parts = [StreamPart {
            stream: StreamName::run(run),
            expected: Expected::New,
            outgoing: Outgoing::Run(run, vec![Decided { facts, by: Some(by.clone()), trace }]),
        }];
        let streams = self.recorder.prepare(&parts).await?;
        let request = AppendRequest {
            tenant: submitted.tenant.clone(),
            key: Some(format!("{run}/0")),
            streams,
            fence: None,
        };
        let mut tries = 0;
        loop {
            tries += 1;
            match self.recorder.store().append(request.clone()).await {
                Ok(_) => return Ok(at),
                // The key makes it harmless to ask again.
                Err(AppendError::Unknown(_)) if tries < TRIES => {}
                Err(AppendError::Conflict { .. } | AppendError::KeyReused(_)) => {
                    return Err(AppError::Conflict(Rejection::Exists(run).to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// When this very submission was recorded under the run's id; none: it was not.
    async fn recorded_at(&self, submitted: &Submitted) -> Result<Option<Timestamp>, AppError> {
        let stream = StreamName::run(submitted.run);
        let first = self.recorder.store().read_stream(&submitted.tenant, &stream, 0, 1).await?;
        let Some(first) = first.first() else { return Ok(None) };
        let fact = self.recorder.read(first).await.map_err(unreadable)?.fact;
        let is_this = matches!(fact.event, RunEvent::Submitted(known) if *known == *submitted);
        Ok(is_this.then_some(fact.at))
    }
}

#[async_trait]
impl EngineDoor for Door {
    async fn submit(
        &self,
        mut submitted: Submitted,
        by: &Actor,
        traceparent: Option<&str>,
    ) -> Result<Timestamp, AppError> {
        // What is not a trace context is nobody's trace.
        let asked = traceparent.and_then(|text| text.parse::<TraceContext>().ok());
        submitted.traceparent = asked.map(|above| above.to_string()).or(submitted.traceparent);
        let by = Arc::new(by.clone());
        self.check_submission(&submitted.tenant).await?;
        if let Some(runtime) = self.leading() {
            match within(runtime.submit(submitted.clone(), &by)).await? {
                Err(AskError::Stopped) => {
                    // This process stopped leading meanwhile; it may be recorded already.
                    return match self.record_submission(&submitted, &by).await {
                        Err(AppError::Conflict(reason)) => {
                            let at = self.recorded_at(&submitted).await?;
                            at.ok_or(AppError::Conflict(reason))
                        }
                        other => other,
                    };
                }
                other => return other.map_err(|error| refused(error, submitted.run)),
            }
        }
        within(self.record_submission(&submitted, &by)).await?
    }

    async fn ask(
        &self,
        tenant: &TenantId,
        run: RunId,
        ask: Ask,
        by: &Actor,
    ) -> Result<(), AppError> {
        let by = Arc::new(by.clone());
        let mut was_asked = false;
        if let Some(runtime) = self.leading() {
            // The engine knows runs by their ids alone: whose it is must be seen from the record.
            let stream = StreamName::run(run);
            let first = self.recorder.store().read_stream(tenant, &stream, 0, 1);
            if within(first).await??.is_empty() {
                return Err(AppError::not_found("run", run));
            }
            match within(runtime.ask(run, ask.clone(), &by)).await? {
                Err(AskError::Stopped) => was_asked = true,
                Err(AskError::Refused(Refusal::NotHere(_))) => {}
                other => return other.map_err(|error| refused(error, run)),
            }
        }
        let command = RunCommand { at: self.clock.now(), ask };
        match within(act::record(&self.recorder, tenant, run, &command, Some(&by))).await? {
            // It went through before this process stopped leading.
            Err(ActError::Rejected(Rejection::Settled(_))) if was_asked => Ok(()),
            Err(ActError::Rejected(Rejection::Unborn)) => Err(AppError::not_found("run", run)),
            Err(ActError::Rejected(rejection)) => Err(rejected(rejection)),
            Err(ActError::Record(error)) => Err(unreadable(error)),
            Err(ActError::Append(error)) => Err(error.into()),
            Ok(()) => Ok(()),
        }
    }

    async fn waits(
        &self,
        tenant: &TenantId,
        run: RunId,
        step: &StepKey,
    ) -> Result<Option<WaitFigures>, AppError> {
        if let Some(runtime) = self.leading()
            && let Ok(wait) = within(runtime.waits(tenant, run, step)).await?
        {
            return Ok(wait);
        }
        let facts = within(self.recorder.facts(tenant, run)).await?.map_err(unreadable)?;
        let Some(demand) = waits::demand_of(&fold(&facts), step) else { return Ok(None) };
        within(waits::look(self.shelf.as_ref(), tenant, run, demand)).await?
    }
}

async fn within<T>(answer: impl Future<Output = T>) -> Result<T, AppError> {
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| {
        let waited = PATIENCE.as_secs();
        AppError::unavailable(format!("no answer within {waited} s; it may still happen"))
    })
}

fn rejected(rejection: Rejection) -> AppError {
    match rejection {
        Rejection::NoSuchStep(step) => AppError::not_found("step", step),
        other => AppError::Conflict(other.to_string()),
    }
}

fn refused(error: AskError, run: RunId) -> AppError {
    match error {
        AskError::Refused(Refusal::Rejected(Rejection::Unborn) | Refusal::NotHere(_)) => {
            AppError::not_found("run", run)
        }
        AskError::Refused(Refusal::Rejected(rejection)) => rejected(rejection),
        AskError::Refused(other @ Refusal::Unrecordable(_)) => AppError::Invalid(other.to_string()),
        AskError::Elsewhere(_) => AppError::Conflict(error.to_string()),
        AskError::Unreadable(_) | AskError::Stopped => AppError::unavailable(error),
    }
}

fn unreadable(error: RecordError) -> AppError {
    match error {
        RecordError::Store(error) => error.into(),
        other => AppError::Damaged(other.to_string()),
    }
}
