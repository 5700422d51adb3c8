//! One run of many steps through the engine, with a store and executors that answer at once:
//! what it costs is counted, not timed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use dagbook::engine::{Conclusion, Engine, EngineEffect, Input, Outgoing};
use dagbook_events::admission::Capacity;
use dagbook_events::dag::{
    Action, Backoff, FanOut, Jitter, Plan, PlannedStep, RetryPolicy, Section, SourceBundle,
    StepIndex, Timeouts, When,
};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::effect::Effect;
use dagbook_events::ids::{RunId, StepName, TenantId};
use dagbook_events::run::event::{Source, Submitted};
use dagbook_events::run::{Ask, RunCommand, RunStatus};
use dagbook_events::step::{AttemptReport, AttemptSpec, Outcome, ReportBody};
use dagbook_events::time::{Millis, Timestamp};
use dagbook_events::value::Value;

use super::fleet::{Execution, started};
use super::library::{push, task};
use super::rng::Rng;

/// Attempts at one time.
const SLOTS: u32 = 64;
/// Children of one step, at most.
const CHILDREN: u64 = 50_000;

/// What a run cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Units of work.
    pub units: u64,
    /// Inputs that the engine took.
    pub inputs: u64,
    /// Effects that it asked for.
    pub effects: u64,
    /// Events recorded.
    pub events: u64,
    /// Appends.
    pub appends: u64,
    /// The most attempts at one time.
    pub widest: u64,
}

/// Runs so many units to their end: fan-outs in a row, half by `matrix`, half by `for_each`.
///
/// # Panics
/// When the run does not succeed, which the caller is here to see.
pub fn run(units: u64) -> Cost {
    let mut bench = Bench::new(units);
    while let Some(input) = bench.inputs.pop_front() {
        bench.take(input);
    }
    assert_eq!(bench.ended, Some(RunStatus::Succeeded), "{units} units");
    bench.cost
}

struct Bench {
    engine: Engine,
    inputs: VecDeque<Input>,
    cost: Cost,
    live: u64,
    clock: i64,
    rng: Rng,
    ended: Option<RunStatus>,
}

impl Bench {
    fn new(units: u64) -> Self {
        let mut bench = Self {
            engine: Engine::new(),
            inputs: VecDeque::new(),
            cost: Cost { units, ..Cost::default() },
            live: 0,
            clock: super::world::EPOCH_MS,
            rng: Rng::stream(units, "scale"),
            ended: None,
        };
        bench
            .engine
            .step(Input::Pool { name: "local".to_string(), capacity: Capacity::places(SLOTS) });
        let run = RunId(uuid::Uuid::from_u128(1));
        let ask = Ask::Submit(submission(run, plan(units)));
        bench.command(run, ask);
        bench
    }

    fn command(&mut self, run: RunId, ask: Ask) {
        self.clock += 1;
        let command = RunCommand { at: Timestamp(self.clock), ask };
        self.inputs.push_back(Input::Command { request: None, by: None, run, command });
    }

    fn take(&mut self, input: Input) {
        self.cost.inputs += 1;
        for effect in self.engine.step(input) {
            self.cost.effects += 1;
            match effect {
                EngineEffect::Append { append, parts, .. } => {
                    for part in &parts {
                        if let Outgoing::Run(_, groups) = &part.outgoing {
                            self.cost.events +=
                                groups.iter().map(|g| g.facts.len() as u64).sum::<u64>();
                        }
                    }
                    self.cost.appends += 1;
                    let (result, at) = (Conclusion::Durable, Timestamp(self.clock));
                    self.inputs.push_front(Input::Appended { append, result, at });
                }
                EngineEffect::World(Effect::Start(spec)) => self.start(*spec),
                EngineEffect::World(Effect::Release { .. }) => self.live -= 1,
                EngineEffect::Recorded { facts, .. } => {
                    let end = facts.iter().find_map(|fact| match &fact.event {
                        dagbook_events::run::RunEvent::Finished(e) => Some(e.status),
                        _ => None,
                    });
                    self.ended = self.ended.or(end);
                }
                _ => {}
            }
        }
    }

    fn start(&mut self, spec: AttemptSpec) {
        self.live += 1;
        self.cost.widest = self.cost.widest.max(self.live);
        let run = spec.run;
        for report in reports(spec, Timestamp(self.clock), &mut self.rng) {
            self.command(run, Ask::Observe(Box::new(report)));
        }
    }
}

fn reports(spec: AttemptSpec, at: Timestamp, rng: &mut Rng) -> [AttemptReport; 2] {
    let mut execution = Execution {
        hash: Sha256Digest([0; 32]),
        running: true,
        deaf: false,
        vanished: false,
        outcome: Outcome::Succeeded,
        exit: None,
        allocated: at,
        started: Some(at),
        spec,
    };
    execution.end(Outcome::Succeeded, at, rng);
    let mut exit = execution.exit.clone().expect("it has just ended");
    exit.outputs.clear();
    [execution.report(started(), at), execution.report(ReportBody::Exited(Box::new(exit)), at)]
}

fn plan(units: u64) -> Arc<Plan> {
    let mut plan = Plan { name: "scale".to_string(), ..Plan::empty() };
    let halves = units.div_ceil(CHILDREN).max(2);
    for n in 0..halves {
        let width = units / halves + u64::from(n < units % halves);
        let items = (0..width).map(|i| Value::Int(i64::try_from(i).expect("small")));
        let fan_out = match n % 2 {
            0 => FanOut::Matrix(
                items
                    .map(|i| (format!("n={}", i.to_text()), BTreeMap::from([("n".into(), i)])))
                    .collect(),
            ),
            _ => {
                plan.params.insert("items".to_string(), Value::list(items.collect()));
                FanOut::ForEach(super::library::template("${{ params.items }}"))
            }
        };
        let needs = (n > 0).then(|| StepIndex(u32::try_from(n - 1).expect("small")));
        push(&mut plan, step(n, needs, fan_out));
    }
    Arc::new(plan)
}

fn step(n: u64, needs: Option<StepIndex>, fan_out: FanOut) -> PlannedStep {
    PlannedStep {
        name: StepName::new(&format!("s{n}")).expect("a name"),
        section: Section::Main,
        needs: needs.into_iter().collect(),
        dependents: Vec::new(),
        level: 0,
        when: When::AllSucceeded,
        condition: None,
        action: Action::Task(Box::new(task("local"))),
        fan_out,
        max_parallel: None,
        fail_fast: true,
        min_success: None,
        timeouts: Timeouts {
            attempt: Millis::seconds(3_600),
            total: None,
            queue: Some(Millis::seconds(3_600)),
            heartbeat: None,
        },
        retry: RetryPolicy {
            max_attempts: 1,
            on: Vec::new(),
            exit_codes: Vec::new(),
            backoff: Backoff {
                initial: Millis(1),
                factor_milli: 1_000,
                max: Millis(1),
                jitter: Jitter::None,
            },
            infra_attempts: 1,
        },
    }
}

fn submission(run: RunId, plan: Arc<Plan>) -> Box<Submitted> {
    Box::new(Submitted {
        run,
        tenant: TenantId::new("acme").expect("a tenant"),
        pipeline: plan.name.clone(),
        number: 1,
        params: BTreeMap::new(),
        trigger: "manual".to_string(),
        scheduled_at: None,
        pipeline_version: None,
        git: None,
        parent: None,
        retry_of: None,
        reuse: BTreeMap::new(),
        source_hash: Sha256Digest([0; 32]),
        source: Arc::new(Source {
            bundle: SourceBundle { entry: "dag.yaml".to_string(), files: BTreeMap::new() },
            folder: None,
            archive: None,
            pipelines: BTreeMap::new(),
        }),
        planner: 1,
        traceparent: None,
        driven_at: None,
        plan: Some(plan),
    })
}
