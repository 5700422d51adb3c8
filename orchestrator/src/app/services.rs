//! What the use cases of a server work with: ports, and the door to the engine.

use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::ids::{RunId, StepKey, TenantId};
use dagbook_events::ports::{Actor, Blobs, Clock, EventStore, Rng, Shelf};
use dagbook_events::run::Ask;
use dagbook_events::run::event::Submitted;
use dagbook_events::time::Timestamp;

use super::error::AppError;
use super::number::Numbers;
use super::ports::WaitFigures;
use crate::runtime::news::News;
use crate::runtime::record::Recorder;

/// What use cases work with.
#[derive(Clone)]
pub struct Services {
    /// The record.
    pub store: Arc<dyn EventStore>,
    /// What is new in it, for all who follow it.
    pub news: News,
    /// Content by hash.
    pub blobs: Arc<dyn Blobs>,
    /// Small things that change.
    pub shelf: Arc<dyn Shelf>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// Reads runs.
    pub recorder: Recorder,
    /// The engine, wherever it is.
    pub engine: Arc<dyn EngineDoor>,
    /// Numbers of runs, for people.
    pub numbers: Numbers,
}

/// The engine as edges see it. In the process that leads it is asked directly; in another, the
/// command is recorded and whoever leads hears of it.
#[async_trait]
pub trait EngineDoor: Send + Sync {
    /// Accepts a run; returns when it is durable, with the instant of its submission. A run that
    /// exists already under this id is `Conflict`.
    async fn submit(
        &self,
        submitted: Submitted,
        by: &Actor,
        traceparent: Option<&str>,
    ) -> Result<Timestamp, AppError>;

    /// Asks something of a run; returns when it is durable.
    async fn ask(
        &self,
        tenant: &TenantId,
        run: RunId,
        ask: Ask,
        by: &Actor,
    ) -> Result<(), AppError>;

    /// What admission knows of a unit that waits for its place; none: it does not wait for one,
    /// or the figures are not here.
    async fn waits(
        &self,
        tenant: &TenantId,
        run: RunId,
        step: &StepKey,
    ) -> Result<Option<WaitFigures>, AppError>;
}
