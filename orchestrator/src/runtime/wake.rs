//! Everything that can wake the driver, in one list.

use dagbook_events::ids::{Position, RunId};
use dagbook_events::ports::AppendError;
use dagbook_events::run::event::ReusedResult;
use dagbook_events::run::{Ask, RunFact};
use dagbook_events::step::AttemptReport;
use tokio::sync::{mpsc, oneshot};

use super::handle::{AskError, Watch};
use crate::engine::AppendId;

/// What can wake the driver.
pub(super) enum Wake {
    /// Somebody asks something of a run.
    Ask { run: RunId, ask: Ask, reply: Option<oneshot::Sender<Result<(), AskError>>> },
    /// Somebody wants to see what becomes durable.
    Watch { sender: mpsc::UnboundedSender<Watch> },
    /// A run is taken over from the record.
    Adopt { run: RunId, reply: oneshot::Sender<Result<(), AskError>> },
    /// Its history was read, and executors were asked what they have of it.
    Adopted {
        run: RunId,
        facts: Result<Vec<RunFact>, String>,
        reply: oneshot::Sender<Result<(), AskError>>,
    },
    /// An executor reports.
    Report(AttemptReport),
    /// An append came to its end.
    Appended { append: AppendId, result: Result<(Position, Position), AppendError> },
    /// The wait before an append is repeated is over.
    Retry(AppendId),
    /// A run was read again.
    Loaded { run: RunId, facts: Result<Vec<RunFact>, String> },
    /// A concurrency group was read.
    Group { group: String, holders: Vec<RunId>, version: u64 },
    /// Another process appended to a run.
    Foreign { run: RunId, from: u64, facts: Vec<RunFact> },
    /// Another process appended to a group.
    GroupChanged { group: String },
    /// The cache answered.
    Cache { run: RunId, step: dagbook_events::ids::StepKey, hit: Option<Box<ReusedResult>> },
    /// Stop after what is on its way.
    Shutdown { done: oneshot::Sender<()> },
}
