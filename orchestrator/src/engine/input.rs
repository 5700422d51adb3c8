//! Everything that can wake the engine, and everything it can ask for: two closed lists.

use std::collections::BTreeSet;
use std::sync::Arc;

use dagbook_events::admission::money::{Spent, Terms};
use dagbook_events::admission::{Capacity, Quota};
use dagbook_events::effect::Effect;
use dagbook_events::ids::{RunId, StreamName, TenantId};
use dagbook_events::ports::{Actor, Expected};
use dagbook_events::run::{Rejection, RunCommand, RunFact};
use dagbook_events::time::Timestamp;

/// Correlates a command with its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Correlates an append with its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendId(pub u64);

/// What can wake the engine.
#[derive(Debug, Clone)]
pub enum Input {
    /// Time passed. Admission stamps with the latest instant that any input brought.
    Tick(Timestamp),
    /// A pool of places exists, or changed its size.
    Pool {
        /// The executor's name.
        name: String,
        /// What it has to give.
        capacity: Capacity,
    },
    /// What a tenant may use, and its weight.
    Tenant {
        /// Which tenant.
        tenant: TenantId,
        /// What is set for it.
        quota: Quota,
    },
    /// What all tenants together may use.
    Limits(Quota),
    /// What an executor starts is bound to a place: its attempts are planned for it.
    Place {
        /// The executor's name.
        executor: String,
        /// The place.
        place: Arc<str>,
    },
    /// The price class of an executor, where that is not its name.
    Class {
        /// The executor's name.
        executor: String,
        /// The class.
        class: String,
    },
    /// Prices, periods and budgets of a tenant.
    Terms {
        /// Which tenant.
        tenant: TenantId,
        /// What was agreed; without a budget the tenant is not watched.
        terms: Arc<Terms>,
        /// Now.
        at: Timestamp,
    },
    /// What the record says a tenant with a budget has spent.
    Spent {
        /// Which tenant.
        tenant: TenantId,
        /// What it says.
        spent: Spent,
        /// Now.
        at: Timestamp,
    },
    /// A stamped command. Without a request nobody waits for the answer.
    Command {
        /// Who waits.
        request: Option<RequestId>,
        /// Who asks. None: the engine's own surroundings (timers, executors, other runs).
        by: Option<Arc<Actor>>,
        /// For which run.
        run: RunId,
        /// What is asked.
        command: RunCommand,
    },
    /// The store answered.
    Appended {
        /// Which append.
        append: AppendId,
        /// What came of it.
        result: Conclusion,
        /// Now.
        at: Timestamp,
    },
    /// A run was read again after a conflict.
    Loaded {
        /// The run.
        run: RunId,
        /// Its whole history.
        facts: Vec<RunFact>,
        /// Now.
        at: Timestamp,
    },
    /// Another process appended to a run that this engine owns.
    Foreign {
        /// Whose run it is.
        tenant: TenantId,
        /// The run.
        run: RunId,
        /// Version of the first of the facts.
        from: u64,
        /// What was appended.
        facts: Vec<RunFact>,
        /// Now.
        at: Timestamp,
    },
    /// This engine takes over a run from the record.
    Adopt {
        /// The run.
        run: RunId,
        /// Its whole history.
        facts: Vec<RunFact>,
        /// Now.
        at: Timestamp,
    },
    /// The holders of a concurrency group, as recorded.
    Group {
        /// Whose group it is.
        tenant: TenantId,
        /// The group.
        group: String,
        /// Who holds a place, oldest first.
        holders: Vec<RunId>,
        /// Version of the group's stream.
        version: u64,
        /// Now.
        at: Timestamp,
    },
    /// The wait before repeating an append is over.
    RetryAppend {
        /// Which append.
        append: AppendId,
    },
    /// Every run that holds places was adopted: see `Engine::recovering`.
    Recovered,
}

impl Input {
    /// The instant that it brought, if any.
    pub(super) fn at(&self) -> Timestamp {
        match self {
            Self::Tick(at)
            | Self::Appended { at, .. }
            | Self::Loaded { at, .. }
            | Self::Foreign { at, .. }
            | Self::Adopt { at, .. }
            | Self::Group { at, .. }
            | Self::Terms { at, .. }
            | Self::Spent { at, .. } => *at,
            Self::Command { command, .. } => command.at,
            Self::Pool { .. }
            | Self::Tenant { .. }
            | Self::Limits(_)
            | Self::Place { .. }
            | Self::Class { .. }
            | Self::RetryAppend { .. }
            | Self::Recovered => Timestamp(i64::MIN),
        }
    }
}

/// What came of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conclusion {
    /// It is durable.
    Durable,
    /// A stream had another version than expected; nothing was appended.
    Conflict(StreamName),
    /// Nothing was appended, or nobody knows; the same append may be repeated under its key.
    Uncertain(String),
    /// It can never be appended.
    Impossible(String),
}

/// What the engine asks for.
#[derive(Debug, Clone)]
pub enum EngineEffect {
    /// Append atomically; answer with [`Input::Appended`].
    Append {
        /// Correlation.
        append: AppendId,
        /// Whose streams they are.
        tenant: TenantId,
        /// The idempotency key.
        key: String,
        /// What to append.
        parts: Vec<StreamPart>,
    },
    /// Repeat the append after a while: answer with [`Input::RetryAppend`].
    RetryLater {
        /// Which append.
        append: AppendId,
        /// How many times it was tried.
        tries: u32,
        /// Why.
        reason: String,
    },
    /// Read the run's whole history; answer with [`Input::Loaded`].
    Load {
        /// Whose run it is.
        tenant: TenantId,
        /// The run.
        run: RunId,
    },
    /// Read the group's stream; answer with [`Input::Group`].
    LoadGroup {
        /// Whose group it is.
        tenant: TenantId,
        /// The group.
        group: String,
    },
    /// Ask this of a run that another process owns.
    Elsewhere {
        /// Whose run it is.
        tenant: TenantId,
        /// The run.
        run: RunId,
        /// What is asked.
        command: RunCommand,
    },
    /// Answer whoever waits.
    Reply {
        /// Who.
        request: RequestId,
        /// Accepted and durable, or refused.
        result: Result<(), Refusal>,
    },
    /// Facts of a run became durable. For those who watch.
    Recorded {
        /// Whose.
        tenant: TenantId,
        /// The run.
        run: RunId,
        /// Version of the first of the facts.
        from: u64,
        /// The facts.
        facts: Vec<RunFact>,
    },
    /// Ask the world.
    World(Effect),
}

/// Events for one stream.
#[derive(Debug, Clone)]
pub struct StreamPart {
    /// The stream.
    pub stream: StreamName,
    /// Its expected version.
    pub expected: Expected,
    /// The events.
    pub outgoing: Outgoing,
}

/// What one command made happen.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The facts: the first is the cause of the others.
    pub facts: Vec<RunFact>,
    /// Who asked for it, where a principal did. What follows from it is the system's.
    pub by: Option<Arc<Actor>>,
    /// W3C trace context of whoever submitted the run.
    pub trace: Option<Arc<str>>,
}

/// What goes to a stream.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// Facts of a run, by command.
    Run(RunId, Vec<Decided>),
    /// A run takes a place in the group.
    Take {
        /// The group.
        group: String,
        /// The run.
        run: RunId,
        /// Now.
        at: Timestamp,
    },
    /// A run gives its place back.
    Give {
        /// The group.
        group: String,
        /// The run.
        run: RunId,
        /// Now.
        at: Timestamp,
    },
}

/// Why a command came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The rules refuse it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// This engine does not own the run.
    #[error("run {0} is not in this process")]
    NotHere(RunId),
    /// The store can never take it.
    #[error("the record cannot take it: {0}")]
    Unrecordable(String),
}

/// Streams that an append touches, for those who wait on one.
pub(super) fn runs_of(parts: &[StreamPart]) -> BTreeSet<RunId> {
    parts
        .iter()
        .filter_map(|part| match &part.outgoing {
            Outgoing::Run(run, _) => Some(*run),
            _ => None,
        })
        .collect()
}
