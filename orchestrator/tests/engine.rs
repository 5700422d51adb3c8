//! The engine: inputs in, effects out. Each test is a short story with the store played by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook::engine::{
    AppendId, Conclusion, Engine, EngineEffect, Input, Outgoing, Refusal, RequestId,
};
use dagbook_events::admission::Capacity;
use dagbook_events::dag::{self, PlanFacts, SourceBundle};
use dagbook_events::effect::{Effect, Timer};
use dagbook_events::ids::{RunId, StepKey, TenantId};
use dagbook_events::run::event::{Source, Submitted};
use dagbook_events::run::{Ask, RunCommand, RunEvent, RunFact, TimerKind};
use dagbook_events::step::{
    AttemptExit, AttemptReport, AttemptSpec, LogSummary, Outcome, ReportBody, Requested, StopCause,
    Usage, UsageQuality, UsageSource, Used,
};
use dagbook_events::time::Timestamp;

const ONE: &str = "dagbook: v1\nname: t\nsteps:\n  a: { run: 'true' }\n  b: { run: 'true' }\n";
const GROUPED: &str = "dagbook: v1\nname: t\nconcurrency: { group: g, limit: 1 }\n\
                       steps:\n  a: { run: 'true' }\n";

/// An engine, what it asked for, and what the store holds.
struct Bench {
    engine: Engine,
    effects: Vec<EngineEffect>,
    store: BTreeMap<RunId, Vec<RunFact>>,
}

fn run(n: u128) -> RunId {
    RunId(uuid::Uuid::from_u128(n))
}

fn tenant() -> TenantId {
    TenantId::new("acme").expect("a tenant")
}

impl Bench {
    fn new(mut engine: Engine, slots: u32) -> Self {
        engine.step(Input::Pool { name: "local".to_string(), capacity: Capacity::places(slots) });
        Self { engine, effects: Vec::new(), store: BTreeMap::new() }
    }

    fn step(&mut self, input: Input) {
        self.effects.extend(self.engine.step(input));
    }

    fn ask(&mut self, n: u128, ask: Ask) {
        let command = RunCommand { at: Timestamp(1_000), ask };
        let request = Some(RequestId(u64::try_from(n).expect("small")));
        self.step(Input::Command { request, by: None, run: run(n), command });
    }

    fn submit(&mut self, n: u128, text: &str) {
        let bundle = SourceBundle {
            entry: "dag.yaml".to_string(),
            files: BTreeMap::from([("dag.yaml".to_string(), text.to_string())]),
        };
        let plan = dag::plan(&bundle, &BTreeMap::new(), &PlanFacts::default())
            .unwrap_or_else(|findings| panic!("{findings:#?}"));
        let submitted = Submitted {
            run: run(n),
            tenant: tenant(),
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
            source_hash: plan.source_hash,
            source: Arc::new(Source {
                bundle,
                folder: None,
                archive: None,
                pipelines: BTreeMap::new(),
            }),
            planner: 1,
            traceparent: None,
            driven_at: None,
            plan: Some(Arc::new(plan)),
        };
        self.ask(n, Ask::Submit(Box::new(submitted)));
    }

    /// The append that is on its way for a run, as kinds of its facts by command.
    fn append(&self, n: u128) -> Option<(AppendId, Vec<Vec<RunFact>>)> {
        self.effects.iter().find_map(|effect| match effect {
            EngineEffect::Append { append, parts, .. } => match &parts[0].outgoing {
                Outgoing::Run(of, groups) if *of == run(n) => {
                    let facts = groups.iter().map(|group| group.facts.clone()).collect();
                    Some((*append, facts))
                }
                _ => None,
            },
            _ => None,
        })
    }

    fn kinds(&self, n: u128) -> Vec<&'static str> {
        let groups = self.append(n).map(|(_, groups)| groups).unwrap_or_default();
        groups.iter().flatten().map(|fact| fact.event.kind()).collect()
    }

    /// Concludes the append of a run that is on its way.
    fn conclude(&mut self, n: u128, result: Conclusion) {
        let (append, groups) = self.append(n).expect("an append on its way");
        self.effects.retain(
            |effect| !matches!(effect, EngineEffect::Append { append: a, .. } if *a == append),
        );
        if result == Conclusion::Durable {
            self.store.entry(run(n)).or_default().extend(groups.into_iter().flatten());
        }
        self.step(Input::Appended { append, result, at: Timestamp(1_000) });
    }

    fn durable(&mut self, n: u128) {
        self.conclude(n, Conclusion::Durable);
    }

    fn started(&self) -> Vec<AttemptSpec> {
        let starts = self.effects.iter().filter_map(|effect| match effect {
            EngineEffect::World(Effect::Start(spec)) => Some((**spec).clone()),
            _ => None,
        });
        starts.collect()
    }

    fn releases(&self) -> usize {
        let release = |e: &&EngineEffect| matches!(e, EngineEffect::World(Effect::Release { .. }));
        self.effects.iter().filter(release).count()
    }

    fn refusals(&self) -> Vec<(u64, Refusal)> {
        let refusals = self.effects.iter().filter_map(|effect| match effect {
            EngineEffect::Reply { request, result: Err(refusal) } => {
                Some((request.0, refusal.clone()))
            }
            _ => None,
        });
        refusals.collect()
    }
}

fn ended(spec: &AttemptSpec, outcome: Outcome) -> Ask {
    let usage = Usage {
        executor: "local".to_string(),
        class: "standard".to_string(),
        node: "n".to_string(),
        allocated_ms: Timestamp(0),
        released_ms: Timestamp(0),
        started_ms: None,
        requested: Requested::default(),
        used: Used::default(),
        source: UsageSource::None,
        quality: UsageQuality::Estimated,
        outcome: outcome.name().to_string(),
        fault: outcome.fault(),
    };
    let exit = AttemptExit {
        outcome,
        usage,
        outputs: BTreeMap::new(),
        output_error: None,
        artifacts: BTreeMap::new(),
        log: LogSummary::default(),
        leftover_processes: 0,
    };
    Ask::Observe(Box::new(AttemptReport {
        run: spec.run,
        step: spec.step.clone(),
        attempt: spec.attempt,
        epoch: spec.epoch,
        at: Timestamp(1_000),
        body: ReportBody::Exited(Box::new(exit)),
    }))
}

#[test]
fn a_place_is_free_for_others_once_the_end_is_recorded() {
    let mut bench = Bench::new(Engine::new(), 1);
    bench.submit(1, GROUPED.replace("concurrency: { group: g, limit: 1 }\n", "").as_str());
    bench.durable(1);
    bench.submit(2, ONE);
    bench.durable(2);
    let spec = bench.started().pop().expect("the first run's attempt");
    bench.ask(1, ended(&spec, Outcome::Succeeded));
    assert_eq!(bench.kinds(1), ["attempt.exited", "run.finished"]);
    assert_eq!(bench.kinds(2), Vec::<&str>::new(), "the place is not free yet");
    bench.durable(1);
    assert_eq!(bench.kinds(2), ["attempt.planned"]);
}

#[test]
fn the_same_run_takes_its_place_over_in_the_same_append() {
    let mut bench = Bench::new(Engine::new(), 1);
    bench.submit(1, ONE);
    bench.durable(1);
    let spec = bench.started().pop().expect("an attempt");
    bench.ask(1, ended(&spec, Outcome::Succeeded));
    assert_eq!(bench.kinds(1), ["attempt.exited", "attempt.planned"]);
    let pool = bench.engine.admission().pool_figures().next().expect("a pool");
    assert_eq!((pool.live.attempts, pool.taken.attempts), (1, 1));
}

#[test]
fn nothing_is_admitted_before_every_run_was_adopted() {
    let mut before = Bench::new(Engine::new(), 2);
    before.submit(1, ONE);
    before.durable(1);
    before.submit(2, ONE);
    before.durable(2);
    assert_eq!(before.started().len(), 2, "the first run has both places");
    let mut bench = Bench::new(Engine::recovering(), 2);
    for n in [2, 1] {
        let (facts, at) = (before.store[&run(n)].clone(), Timestamp(2_000));
        bench.step(Input::Adopt { run: run(n), facts, at });
    }
    bench.step(Input::Recovered);
    assert!(bench.append(2).is_none(), "the places are those of the run that came last");
    assert_eq!(bench.engine.held_by_fold()["local"], 2);
}

#[test]
fn a_repeated_end_is_not_released_before_the_first_is_durable() {
    let mut bench = Bench::new(Engine::new(), 2);
    bench.submit(1, ONE);
    bench.durable(1);
    let spec = bench.started().pop().expect("an attempt");
    // Something is on its way while the end comes twice: both wait, and are decided together.
    bench.ask(1, Ask::Pause { comment: String::new() });
    bench.ask(1, ended(&spec, Outcome::Succeeded));
    bench.ask(1, ended(&spec, Outcome::Succeeded));
    bench.durable(1);
    assert_eq!(bench.releases(), 0, "the end is not recorded yet");
    bench.durable(1);
    assert_eq!(bench.releases(), 1);
}

#[test]
fn a_timer_that_comes_early_is_set_again() {
    let mut bench = Bench::new(Engine::new(), 1);
    bench.submit(1, "dagbook: v1\nname: t\nsteps:\n  a: { wait: { for: 10s } }\n");
    bench.durable(1);
    let kind = TimerKind::Sleep(StepKey::new("a"));
    bench.effects.clear();
    bench.ask(1, Ask::Timer(kind.clone()));
    let again = bench.effects.iter().any(|effect| {
        matches!(effect, EngineEffect::World(Effect::SetTimer { timer, at })
            if *timer == Timer { run: run(1), kind: kind.clone() } && *at == Timestamp(11_000))
    });
    assert!(again, "{:?}", bench.effects);
}

#[test]
fn one_command_that_no_leaf_can_hold_does_not_take_others_with_it() {
    let mut bench = Bench::new(Engine::new(), 0);
    bench.submit(1, ONE);
    bench.durable(1);
    bench.ask(1, Ask::Pause { comment: String::new() });
    bench.ask(1, Ask::Signal { name: "too long".to_string() });
    bench.ask(1, Ask::Resume { comment: String::new() });
    bench.durable(1);
    assert_eq!(bench.kinds(1), ["run.signaled", "run.resumed"]);
    let impossible = || Conclusion::Impossible("a leaf over 60 KiB".to_string());
    bench.conclude(1, impossible());
    bench.step(Input::Loaded {
        run: run(1),
        facts: bench.store[&run(1)].clone(),
        at: Timestamp(1_000),
    });
    assert_eq!(bench.kinds(1), ["run.signaled"]);
    bench.conclude(1, impossible());
    let unrecordable = Refusal::Unrecordable("a leaf over 60 KiB".to_string());
    assert_eq!(bench.refusals(), [(1, unrecordable)]);
    bench.step(Input::Loaded {
        run: run(1),
        facts: bench.store[&run(1)].clone(),
        at: Timestamp(1_000),
    });
    assert_eq!(bench.kinds(1), ["run.resumed"]);
}

#[test]
fn a_queued_run_that_is_cancelled_lets_those_behind_it_in() {
    let mut bench = Bench::new(Engine::new(), 4);
    bench.submit(1, GROUPED);
    bench.durable(1);
    bench.submit(2, GROUPED);
    bench.durable(2);
    // The first is being cancelled when the group's holders become known.
    let reason = String::new();
    bench.ask(1, Ask::Cancel { cause: StopCause::User, reason, force: false });
    let group = || "g".to_string();
    let at = Timestamp(1_000);
    bench.step(Input::Group {
        tenant: tenant(),
        group: group(),
        holders: Vec::new(),
        version: 0,
        at,
    });
    assert!(bench.append(2).is_none(), "it is not its turn");
    bench.durable(1);
    assert_eq!(bench.kinds(2), ["run.admitted", "attempt.planned"]);
}

#[test]
fn a_run_admitted_and_over_in_one_append_neither_takes_nor_gives_a_place() {
    let mut bench = Bench::new(Engine::new(), 4);
    bench.submit(1, GROUPED);
    let at = Timestamp(1_000);
    bench.durable(1);
    // The cancel waits behind a pause; the place is offered when the pause is durable.
    bench.ask(1, Ask::Pause { comment: String::new() });
    let reason = String::new();
    bench.ask(1, Ask::Cancel { cause: StopCause::User, reason, force: false });
    bench.step(Input::Group {
        tenant: tenant(),
        group: "g".to_string(),
        holders: Vec::new(),
        version: 0,
        at,
    });
    bench.durable(1);
    assert_eq!(bench.kinds(1), ["run.admitted", "run.cancel_requested", "run.finished"]);
    let parts = bench.effects.iter().find_map(|effect| match effect {
        EngineEffect::Append { parts, .. } => Some(parts.len()),
        _ => None,
    });
    assert_eq!(parts, Some(1), "only the run's stream is touched");
    bench.durable(1);
    bench.submit(2, GROUPED);
    bench.durable(2);
    bench.step(Input::Group {
        tenant: tenant(),
        group: "g".to_string(),
        holders: Vec::new(),
        version: 0,
        at,
    });
    assert_eq!(bench.kinds(2), ["run.admitted", "attempt.planned"], "the group is not stuck");
}

#[test]
fn what_another_process_appends_while_ours_goes_through_is_not_missed() {
    let mut bench = Bench::new(Engine::new(), 4);
    bench.submit(1, ONE);
    bench.durable(1);
    let spec = bench.started().pop().expect("an attempt");
    bench.ask(1, ended(&spec, Outcome::Succeeded));
    let ours = bench.append(1).expect("on its way").1.into_iter().flatten().count() as u64;
    // The other process saw our append in the store, and cancelled on top of it.
    let from = bench.store[&run(1)].len() as u64 + ours;
    let cancel = Ask::Cancel { cause: StopCause::User, reason: "elsewhere".into(), force: false };
    let mut state = dagbook_events::run::fold(&bench.store[&run(1)]);
    for fact in bench.append(1).expect("on its way").1.iter().flatten() {
        state = dagbook_events::run::evolve(state, fact);
    }
    let command = RunCommand { at: Timestamp(1_000), ask: cancel };
    let facts = dagbook_events::run::decide(&state, &command).expect("accepted");
    bench.step(Input::Foreign {
        tenant: tenant(),
        run: run(1),
        from,
        facts: facts.clone(),
        at: Timestamp(1_000),
    });
    bench.durable(1);
    let load = |e: &EngineEffect| matches!(e, EngineEffect::Load { run: of, .. } if *of == run(1));
    assert!(bench.effects.iter().any(load), "the run is read again");
    bench.store.get_mut(&run(1)).expect("the run").extend(facts);
    let facts = bench.store[&run(1)].clone();
    bench.step(Input::Loaded { run: run(1), facts, at: Timestamp(1_000) });
    assert!(bench.engine.run(run(1)).expect("live").cancel.is_some(), "the cancel is known");
    let stop = |e: &EngineEffect| matches!(e, EngineEffect::World(Effect::Stop(_)));
    assert!(bench.effects.iter().any(stop), "and what runs is stopped");
}

#[test]
fn an_attempt_of_an_executor_that_is_bound_to_a_place_is_planned_for_it() {
    let mut bench = Bench::new(Engine::new(), 1);
    bench.step(Input::Place { executor: "local".to_string(), place: "here".into() });
    bench.submit(1, "dagbook: v1\nname: p\nsteps: { a: { run: exit 0 } }\n");
    let (_, groups) = bench.append(1).expect("an append");
    let places: Vec<_> = groups
        .iter()
        .flatten()
        .filter_map(|fact| match &fact.event {
            RunEvent::AttemptPlanned(planned) => Some(planned.place.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(places, [Some("here".into())]);
    bench.durable(1);
    let state = bench.engine.run(run(1)).expect("it is here");
    assert_eq!(state.places.values().map(|place| &**place).collect::<Vec<_>>(), ["here"]);
}
