//! The world around one engine: a queue of deliveries, a clock that jumps, and the loop that
//! takes one thing at a time. Every choice comes from the seed.

use std::collections::{BTreeMap, BTreeSet};

use dagbook::engine::{AppendId, Engine, EngineEffect, Input, Planted, RequestId, StreamPart};
use dagbook_events::admission::Quota;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::effect::Timer;
use dagbook_events::ids::{AttemptId, RunId, StepKey};
use dagbook_events::run::event::ReusedResult;
use dagbook_events::run::{Ask, RunCommand};
use dagbook_events::step::{AttemptReport, AttemptSpec};
use dagbook_events::time::Timestamp;

use super::coverage::Coverage;
use super::fleet::{Fleet, Progress};
use super::library::Library;
use super::money::Budgeted;
use super::rng::Rng;
use super::store::SimStore;

/// When the simulation begins: 2026-01-01T00:00:00Z.
pub const EPOCH_MS: i64 = 1_767_225_600_000;

/// Steps after which a run that does not end is called stuck.
const STEPS_MAX: u64 = 20_000;

/// Nothing, or the sentence that says what is broken.
pub type Check = Result<(), String>;

/// Streams of chance, one a concern.
pub(super) struct Chances {
    pub(super) store: Rng,
    pub(super) fleet: Rng,
    pub(super) people: Rng,
    pub(super) chaos: Rng,
    pub(super) shell: Rng,
    pub(super) money: Rng,
}

/// Something under way.
pub(super) enum Delivery {
    Perform(u32, EngineEffect),
    StartAgain(u32, Box<AttemptSpec>),
    Append {
        life: u32,
        append: AppendId,
        key: String,
        parts: Vec<StreamPart>,
    },
    Feed(u32, Input),
    LoadRun(u32, RunId),
    LoadGroup(u32, String),
    LookUp {
        life: u32,
        run: RunId,
        step: StepKey,
        key: Sha256Digest,
        oldest: Option<Timestamp>,
    },
    Execution(AttemptId, Progress),
    Report(AttemptReport),
    /// An executor repeats an end that nobody took from it.
    Remind(AttemptId, u64),
    Act,
    Crash,
    Boot,
    ClockJump,
    EarlyTimer,
    ForeignRun,
    ForeignGroup,
    ForeignGive(RunId),
    ForeignHint(RunId, usize),
    /// What a tenant with a budget spent is read from the record.
    AskSpent(u32),
    TellSpent(u32, BTreeSet<AttemptId>),
    Calm,
    /// People answer what waits for them.
    Help(u64),
}

/// The world.
pub struct World {
    pub(super) engine: Option<Engine>,
    /// How many engines there were: what an earlier one asked for reaches no later one.
    pub(super) life: u32,
    /// The store takes nothing of lives before this one.
    pub(super) fence: u32,
    pub(super) planted: Option<Planted>,
    pub(super) store: SimStore,
    pub(super) fleet: Fleet,
    pub(super) timers: BTreeMap<Timer, Timestamp>,
    pub(super) cache: BTreeMap<Sha256Digest, (Timestamp, ReusedResult)>,
    pub(super) watched: BTreeSet<String>,
    /// Runs of another process, and the group in which each holds a place.
    pub(super) foreign: BTreeMap<RunId, String>,
    pub(super) submissions:
        BTreeMap<RequestId, (RunId, Box<dagbook_events::run::event::Submitted>)>,
    pub(super) library: Library,
    /// What each tenant may use.
    pub(super) quotas: [Quota; 2],
    pub(super) chance: Chances,
    pub(super) faults: bool,
    pub(super) made: u64,
    /// What was visited.
    pub coverage: Coverage,
    /// What was done, while it is asked for.
    pub(super) trace: Option<Vec<String>>,
    queue: BTreeMap<(u64, u64), Delivery>,
    sequence: u64,
    pub(super) mono: u64,
    pub(super) offset: i64,
    /// Deliveries between the engine, its shell and the store.
    outstanding: u32,
    performed_until: u64,
    /// Steps taken.
    pub steps: u64,
    pub(super) checks: u64,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, planted: Option<Planted>, trace: bool) -> Self {
        let stream = |concern| Rng::stream(seed, concern);
        let mut world = Self {
            engine: None,
            life: 0,
            fence: 0,
            planted,
            store: SimStore::default(),
            fleet: Fleet::default(),
            timers: BTreeMap::new(),
            cache: BTreeMap::new(),
            watched: BTreeSet::new(),
            foreign: BTreeMap::new(),
            submissions: BTreeMap::new(),
            library: Library::new(&mut stream("library")),
            quotas: quotas(&mut stream("quotas")),
            chance: Chances {
                store: stream("store"),
                fleet: stream("fleet"),
                people: stream("people"),
                chaos: stream("chaos"),
                shell: stream("shell"),
                money: stream("money"),
            },
            faults: true,
            made: 0,
            coverage: Coverage::default(),
            trace: trace.then(Vec::new),
            queue: BTreeMap::new(),
            sequence: 0,
            mono: 0,
            offset: 0,
            outstanding: 0,
            performed_until: 0,
            steps: 0,
            checks: 0,
        };
        world.store.budgeted = Budgeted::new(&mut stream("budget"));
        world.boot_first();
        world.schedule_people();
        world.schedule_chaos();
        world
    }

    /// Runs it to its end.
    pub fn run(&mut self) -> Check {
        while self.step()? {
            if self.steps > STEPS_MAX {
                return Err(self.stuck("after the longest time that is waited"));
            }
        }
        self.at_end()
    }

    /// The last lines of the trace.
    pub fn last_lines(&self, n: usize) -> &[String] {
        let lines = self.trace.as_deref().unwrap_or_default();
        &lines[lines.len().saturating_sub(n)..]
    }

    pub(super) fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = format!("{:>6} {:>9} ms  {}", self.steps, self.mono, line(self));
            if let Some(trace) = &mut self.trace {
                trace.push(line);
            }
        }
    }

    /// Now, by the orchestrator's clock.
    pub(super) fn wall(&self) -> Timestamp {
        Timestamp(EPOCH_MS + i64::try_from(self.mono).expect("short") + self.offset)
    }

    /// Now, by a clock that nobody sets: that of the executors.
    pub(super) fn steady(&self) -> Timestamp {
        Timestamp(EPOCH_MS + i64::try_from(self.mono).expect("short"))
    }

    pub(super) fn later(&mut self, after: u64, delivery: Delivery) {
        self.outstanding += u32::from(delivery.is_within(self.life));
        self.sequence += 1;
        self.queue.insert((self.mono + after, self.sequence), delivery);
    }

    /// Whether nothing is under way between the engine, its shell and the store.
    pub(super) fn is_quiet(&self) -> bool {
        self.outstanding == 0 && self.engine.is_some()
    }

    /// Takes the next thing; false when the story is over.
    fn step(&mut self) -> Result<bool, String> {
        self.steps += 1;
        if !self.faults && self.is_over() {
            return Ok(false);
        }
        let wall = self.wall();
        let timer = self.timers.iter().min_by_key(|(timer, at)| (**at, *timer));
        let timer = timer.map(|(timer, at)| (self.mono + at.since(wall).0, timer.clone()));
        let next = self.queue.first_key_value().map(|(key, _)| *key);
        match (next, timer) {
            (None, None) => return Err(self.stuck("and nothing is under way")),
            (Some((at, _)), Some((due, timer))) if due < at => self.fire(due, timer)?,
            (None, Some((due, timer))) => self.fire(due, timer)?,
            _ => {
                let ((at, _), delivery) = self.queue.pop_first().expect("it was seen");
                self.mono = self.mono.max(at);
                if delivery.is_within(self.life) {
                    self.outstanding -= 1;
                }
                self.deliver(delivery)?;
            }
        }
        if self.is_quiet() {
            self.when_quiet()?;
        }
        Ok(true)
    }

    fn fire(&mut self, due: u64, timer: Timer) -> Check {
        self.mono = self.mono.max(due);
        self.timers.remove(&timer);
        if self.faults && self.chance.shell.percent(4) {
            // It comes once more, later.
            let again = self.chance.shell.below(60_000);
            let (run, at) = (timer.run, self.wall());
            let ask = Ask::Timer(timer.kind.clone());
            let input =
                Input::Command { request: None, by: None, run, command: RunCommand { at, ask } };
            self.later(again, Delivery::Feed(self.life, input));
        }
        self.ask(timer.run, Ask::Timer(timer.kind))
    }

    /// Gives the engine a command without anyone waiting for its answer.
    pub(super) fn ask(&mut self, run: RunId, ask: Ask) -> Check {
        let at = self.wall();
        self.feed(Input::Command { request: None, by: None, run, command: RunCommand { at, ask } })
    }

    /// Gives the engine an input, and its effects to the shell.
    pub(super) fn feed(&mut self, input: Input) -> Check {
        if self.engine.is_none() {
            return Ok(());
        }
        self.note(|_| format!("in   {}", super::trace::input(&input)));
        self.visited(&input);
        let engine = self.engine.as_mut().expect("it was seen");
        let effects = engine.step(input);
        for effect in effects {
            let delay = if self.faults { self.chance.shell.below(30) } else { 0 };
            self.performed_until = self.performed_until.max(self.mono + delay);
            let after = self.performed_until - self.mono;
            self.later(after, Delivery::Perform(self.life, effect));
        }
        self.after_step()
    }

    pub(super) fn die(&mut self) {
        self.engine = None;
        self.life += 1;
        self.outstanding = 0;
        self.timers.clear();
        self.watched.clear();
        self.performed_until = 0;
    }

    fn deliver(&mut self, delivery: Delivery) -> Check {
        match delivery {
            Delivery::Perform(life, effect) if life == self.life => self.perform(effect),
            Delivery::Append { life, append, key, parts } => {
                self.append(life, append, &key, &parts);
                Ok(())
            }
            Delivery::Feed(life, input) if life == self.life => self.feed(input),
            Delivery::StartAgain(life, spec) if life == self.life => self.start_again(*spec),
            Delivery::LoadRun(life, run) if life == self.life => self.load_run(run),
            Delivery::LoadGroup(life, group) if life == self.life => self.load_group(&group),
            Delivery::LookUp { life, run, step, key, oldest } if life == self.life => {
                self.look_up(run, step, key, oldest)
            }
            Delivery::AskSpent(life) if life == self.life => {
                self.ask_spent();
                Ok(())
            }
            Delivery::TellSpent(life, seen) if life == self.life => self.tell_spent(seen),
            Delivery::AskSpent(_)
            | Delivery::TellSpent(..)
            | Delivery::Perform(..)
            | Delivery::StartAgain(..)
            | Delivery::Feed(..)
            | Delivery::LoadRun(..)
            | Delivery::LoadGroup(..)
            | Delivery::LookUp { .. } => Ok(()),
            Delivery::Execution(attempt, progress) => {
                self.progress(attempt, progress);
                Ok(())
            }
            Delivery::Report(report) => self.reported(report),
            Delivery::Remind(attempt, wait) => {
                self.remind(attempt, wait);
                Ok(())
            }
            Delivery::Act => self.act(),
            Delivery::Help(wait) => self.help(wait),
            other => self.chaos(other),
        }
    }

    pub(super) fn stuck(&self, how: &str) -> String {
        let open: Vec<String> =
            self.store.unfinished().iter().map(|run| self.describe(*run)).collect();
        format!("liveness: accepted runs do not end {how}:\n{}", open.join("\n"))
    }
}

/// None, or few of what there is.
fn quotas(rng: &mut Rng) -> [Quota; 2] {
    [(); 2].map(|()| {
        let mut some = |most| rng.percent(40).then(|| rng.between(1, most)).map(|n| n as u32);
        Quota { running_runs: some(3), attempts: some(3), weight: some(300), ..Quota::default() }
    })
}

impl Delivery {
    /// Whether it is between the engine of that life, its shell and the store.
    fn is_within(&self, life: u32) -> bool {
        match self {
            Self::Perform(of, _)
            | Self::StartAgain(of, _)
            | Self::Feed(of, _)
            | Self::LoadRun(of, _)
            | Self::LoadGroup(of, _) => *of == life,
            Self::Append { life: of, .. } | Self::LookUp { life: of, .. } => *of == life,
            _ => false,
        }
    }
}
