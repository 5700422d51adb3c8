//! The engine: synchronous, without clock, chance or threads. One door, [`Engine::step`].
//!
//! A command is decided on the live state, which is folded in place at once; its effects are
//! held back until the store has confirmed the append. While an append of a run is on its way,
//! further inputs for that run wait, and then share the next append. When the store refuses,
//! the live copy is thrown away, the run is read again, and what waited is decided anew.

mod admission;
mod append;
mod figures;
mod groups;
mod input;
mod money;
mod planted;
mod runs;

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::admission::Admission;
use dagbook_events::admission::money::Money;
use dagbook_events::ids::{RunId, StreamName, TenantId};

pub use figures::{EngineFigures, QueueFigures};
pub use input::{
    AppendId, Conclusion, Decided, EngineEffect, Input, Outgoing, Refusal, RequestId, StreamPart,
};
pub use money::BUDGET_ACTOR;
#[doc(hidden)]
pub use planted::Planted;
use runs::RunSlot;

/// Decides for every run that this process owns.
#[derive(Debug, Default)]
pub struct Engine {
    runs: BTreeMap<RunId, RunSlot>,
    /// The place to which what an executor starts is bound.
    places: BTreeMap<String, Arc<str>>,
    /// The price class of executors, where that is not their name.
    classes: BTreeMap<String, String>,
    groups: groups::Groups,
    admission: Admission,
    money: Money,
    /// What waits for money, by tenant.
    aside: BTreeMap<TenantId, money::Aside>,
    /// Decisions that admission took so far.
    decisions: u64,
    in_flight: BTreeMap<AppendId, append::InFlight>,
    next_append: u64,
    next_order: u64,
    /// The latest instant that an input brought.
    now: dagbook_events::time::Timestamp,
    /// Runs with something to append when the current input has been dealt with.
    touched: std::collections::BTreeSet<RunId>,
    /// What the current input leads to.
    effects: Vec<EngineEffect>,
    /// Not every run that holds places is here yet: nothing may be admitted.
    recovering: bool,
    planted: Option<Planted>,
}

impl Engine {
    /// An engine without runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// An engine that takes runs over from the record: it admits nothing until
    /// [`Input::Recovered`] says that all are there, for those that come last may hold the
    /// places that the first would take.
    pub fn recovering() -> Self {
        Self { recovering: true, ..Self::default() }
    }

    /// Takes one input and says what the world should now be asked.
    pub fn step(&mut self, input: Input) -> Vec<EngineEffect> {
        self.steps([input])
    }

    /// Takes what arrived together: what it leads to for one run shares one append.
    pub fn steps(&mut self, inputs: impl IntoIterator<Item = Input>) -> Vec<EngineEffect> {
        for input in inputs {
            self.take(input);
        }
        self.flush();
        std::mem::take(&mut self.effects)
    }

    fn take(&mut self, input: Input) {
        self.now = self.now.max(input.at());
        match input {
            Input::Tick(_) => {}
            Input::Pool { name, capacity } => self.set_pool(&name, capacity),
            Input::Tenant { tenant, quota } => self.set_quota(&tenant, quota),
            Input::Limits(limits) => self.set_limits(limits),
            Input::Class { executor, class } => drop(self.classes.insert(executor, class)),
            Input::Terms { tenant, terms, at: _ } => self.set_terms(&tenant, terms),
            Input::Spent { tenant, spent, at: _ } => self.set_spent(&tenant, spent),
            Input::Place { executor, place } => drop(self.places.insert(executor, place)),
            Input::Command { request, by, run, command } => self.command(request, by, run, command),
            Input::Appended { append, result, at } => self.appended(append, result, at),
            Input::Loaded { run, facts, at } => self.loaded(run, facts, at),
            Input::Foreign { tenant, run, from, facts, at } => {
                self.foreign(&tenant, run, from, &facts, at);
            }
            Input::Adopt { run, facts, at } => self.adopt(run, facts, at),
            Input::Group { tenant, group, holders, version, at } => {
                self.group_loaded(&(tenant, group), holders, version, at);
            }
            Input::RetryAppend { append } => self.retry_append(append),
            Input::Recovered => {
                self.recovering = false;
                self.fill_held_back();
            }
        }
    }

    /// The live state of a run that this engine owns.
    pub fn run(&self, run: RunId) -> Option<&dagbook_events::run::RunState> {
        self.runs.get(&run).map(|slot| &slot.state)
    }

    /// Runs that this engine owns.
    pub fn run_ids(&self) -> impl Iterator<Item = RunId> + '_ {
        self.runs.keys().copied()
    }

    /// Whether nothing is on its way to the store.
    pub fn is_settled(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether some run is being read again: what it held stays taken until then.
    pub fn is_reading(&self) -> bool {
        self.runs.values().any(|slot| slot.loading)
    }

    fn stream(run: RunId) -> StreamName {
        StreamName::run(run)
    }
}
