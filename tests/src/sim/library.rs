//! Pipelines made from chance: every kind of step, rule and bound that a plan can hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::dag::{
    Action, Approval, Backoff, CachePolicy, Concurrency, Condition, FanOut, Jitter, MinSuccess,
    OnTimeout, OutputType, Plan, PlannedStep, ProgramTemplate, RetryClass, RetryPolicy, Section,
    StepIndex, SubDag, SubDagSource, TaskTemplate, Template, Timeouts, WaitFor, When, WhenFull,
};
use dagbook_events::ids::StepName;
use dagbook_events::time::{Millis, Timestamp};
use dagbook_events::value::Value;

use super::rng::Rng;
use super::world::EPOCH_MS;

/// Executors that exist, with their places.
pub const EXECUTORS: [(&str, u32); 2] = [("local", 3), ("remote", 2)];

/// Pipelines that runs and sub-DAGs are made from.
pub struct Library {
    /// What people submit.
    pub pipelines: Vec<Arc<Plan>>,
    /// What sub-DAG steps ask for, by path. A later one may ask for an earlier one.
    pub children: BTreeMap<String, Arc<Plan>>,
}

impl Library {
    /// The pipelines of a seed.
    pub fn new(rng: &mut Rng) -> Self {
        let groups = groups(rng);
        let mut children: BTreeMap<String, Arc<Plan>> = BTreeMap::new();
        for n in 0..2 {
            let paths: Vec<String> = children.keys().cloned().collect();
            let size = rng.between(1, 2);
            let plan = pipeline(rng, &format!("child{n}"), size, &paths, None);
            children.insert(format!("child{n}.yaml"), Arc::new(plan));
        }
        let paths: Vec<String> = children.keys().cloned().collect();
        let pipelines = (0..rng.between(1, 3)).map(|n| {
            let group = rng.percent(35).then(|| rng.pick(&groups).cloned()).flatten();
            let size = rng.between(1, 6);
            Arc::new(pipeline(rng, &format!("p{n}"), size, &paths, group))
        });
        Self { pipelines: pipelines.collect(), children }
    }
}

fn groups(rng: &mut Rng) -> Vec<Concurrency> {
    let rules = [WhenFull::Queue, WhenFull::CancelRunning, WhenFull::Reject];
    let one = |n: u64, rng: &mut Rng| Concurrency {
        group: format!("group-{n}"),
        limit: u32::try_from(rng.between(1, 2)).expect("small"),
        when_full: *rng.pick(&rules).expect("three rules"),
    };
    (0..2).map(|n| one(n, rng)).collect()
}

fn pipeline(
    rng: &mut Rng,
    name: &str,
    main: u64,
    children: &[String],
    concurrency: Option<Concurrency>,
) -> Plan {
    let finally = if rng.percent(30) { rng.between(1, 2) } else { 0 };
    let items: Vec<Value> = (0..rng.below(5)).map(|n| Value::str(format!("item{n}"))).collect();
    let params = BTreeMap::from([
        ("items".to_string(), Value::list(items)),
        ("yes".to_string(), Value::Bool(true)),
        ("no".to_string(), Value::Bool(false)),
    ]);
    let mut plan = Plan {
        name: name.to_string(),
        params,
        concurrency,
        priority: i32::try_from(rng.below(3)).expect("small"),
        timeout: rng.percent(12).then(|| Millis::seconds(rng.between(60, 900))),
        max_parallel: rng.percent(25).then(|| u32::try_from(rng.between(1, 3)).expect("small")),
        ..Plan::empty()
    };
    for n in 0..main + finally {
        let section = if n < main { Section::Main } else { Section::Finally };
        let step = step(rng, &plan, u32::try_from(n).expect("small"), section, children);
        push(&mut plan, step);
    }
    plan
}

/// Adds a step to a plan, with the links in both directions.
pub fn push(plan: &mut Plan, step: PlannedStep) {
    let index = StepIndex(u32::try_from(plan.steps.len()).expect("bounded"));
    for need in &step.needs {
        plan.steps[need.0 as usize].dependents.push(index);
    }
    plan.index.insert(step.name.clone(), index);
    plan.steps.push(step);
}

fn step(rng: &mut Rng, plan: &Plan, n: u32, section: Section, children: &[String]) -> PlannedStep {
    let earlier = (0u32..).zip(&plan.steps).filter(|(_, step)| step.section == section);
    let earlier: Vec<StepIndex> = earlier.map(|(index, _)| StepIndex(index)).collect();
    let needs: Vec<StepIndex> = earlier.into_iter().filter(|_| rng.percent(45)).collect();
    let whens = [When::AnyFailed, When::AnySucceeded, When::AllDone];
    let when = match rng.percent(30) {
        true => *rng.pick(&whens).expect("three"),
        false => When::AllSucceeded,
    };
    let producers: Vec<String> = needs
        .iter()
        .map(|need| plan.step(*need))
        .filter(|need| matches!(&need.action, Action::Task(task) if !task.outputs.is_empty()))
        .filter(|need| need.fan_out == FanOut::None)
        .map(|need| need.name.to_string())
        .collect();
    let action = action(rng, section, children);
    PlannedStep {
        name: StepName::new(&format!("s{n}")).expect("a name"),
        section,
        dependents: Vec::new(),
        level: 0,
        when,
        condition: condition(rng, &producers),
        fan_out: fan_out(rng, &producers),
        max_parallel: rng.percent(40).then(|| u32::try_from(rng.between(1, 3)).expect("small")),
        fail_fast: rng.percent(60),
        min_success: min_success(rng),
        timeouts: timeouts(rng),
        retry: retry(rng),
        needs,
        action,
    }
}

fn condition(rng: &mut Rng, producers: &[String]) -> Option<Condition> {
    let text = match rng.below(20) {
        0 => "params.no".to_string(),
        1 => "params.yes".to_string(),
        2..5 => format!("steps.{}.outputs.flag", rng.pick(producers)?),
        _ => return None,
    };
    Some(Condition::compile(&text).expect("a condition"))
}

fn fan_out(rng: &mut Rng, producers: &[String]) -> FanOut {
    match rng.below(20) {
        0..3 => {
            let cell = |n: u64| {
                let cell = BTreeMap::from([("n".to_string(), Value::str(format!("{n}")))]);
                (format!("n={}", 9 - n), cell)
            };
            FanOut::Matrix((0..rng.between(1, 5)).map(cell).collect())
        }
        3..6 => FanOut::ForEach(template("${{ params.items }}")),
        6..8 => match rng.pick(producers) {
            Some(name) => {
                FanOut::ForEach(template(&format!("${{{{ steps.{name}.outputs.list }}}}")))
            }
            None => FanOut::None,
        },
        _ => FanOut::None,
    }
}

fn min_success(rng: &mut Rng) -> Option<MinSuccess> {
    match rng.below(10) {
        0 => Some(MinSuccess::Count(u32::try_from(rng.between(1, 3)).expect("small"))),
        1 => Some(MinSuccess::Percent(u32::try_from(rng.between(1, 100)).expect("small"))),
        _ => None,
    }
}

fn timeouts(rng: &mut Rng) -> Timeouts {
    Timeouts {
        attempt: Millis::seconds(if rng.percent(50) { 24 * 3_600 } else { rng.between(30, 200) }),
        total: rng.percent(15).then(|| Millis::seconds(rng.between(20, 400))),
        queue: rng.percent(20).then(|| Millis::seconds(rng.between(5, 300))),
        heartbeat: None,
    }
}

fn retry(rng: &mut Rng) -> RetryPolicy {
    let classes = [RetryClass::Failed, RetryClass::Timeout, RetryClass::Oom, RetryClass::Any];
    RetryPolicy {
        max_attempts: u32::try_from(rng.between(1, 3)).expect("small"),
        on: classes.into_iter().filter(|_| rng.percent(40)).collect(),
        exit_codes: if rng.percent(20) { vec![1, 2] } else { Vec::new() },
        backoff: Backoff {
            initial: Millis(rng.between(100, 20_000)),
            factor_milli: 2_000,
            max: Millis::seconds(60),
            jitter: *rng.pick(&[Jitter::None, Jitter::Full, Jitter::Equal]).expect("three"),
        },
        infra_attempts: u32::try_from(rng.between(1, 4)).expect("small"),
    }
}

fn action(rng: &mut Rng, section: Section, children: &[String]) -> Action {
    match rng.below(100) {
        0..8 => Action::Approval(Approval {
            role: "operator".to_string(),
            message: rng.percent(50).then(|| template("go on?")),
            timeout: rng.percent(50).then(|| Millis::seconds(rng.between(10, 300))),
            on_timeout: if rng.percent(50) { OnTimeout::Approve } else { OnTimeout::Reject },
        }),
        8..18 => Action::Wait(match rng.below(3) {
            0 => WaitFor::For(Millis::seconds(rng.below(120))),
            1 => {
                WaitFor::Until(Timestamp(EPOCH_MS + i64::try_from(rng.below(300_000)).expect("ms")))
            }
            _ => WaitFor::Event(format!("event-{}", rng.below(3))),
        }),
        18..28 if !children.is_empty() => Action::SubDag(SubDag {
            source: SubDagSource::Path(rng.pick(children).expect("some").clone()),
            params: BTreeMap::from([("items".to_string(), template("${{ params.items }}"))]),
        }),
        _ => {
            let executor = EXECUTORS[usize::try_from(rng.below(2)).expect("small")].0;
            let mut task = task(executor);
            if rng.percent(40) {
                let outputs = [
                    ("flag", OutputType::Boolean),
                    ("list", OutputType::List),
                    ("n", OutputType::Integer),
                ];
                task.outputs = outputs.map(|(name, kind)| (name.to_string(), kind)).into();
            }
            if section == Section::Finally {
                // What the main part came to must stay what it was when the attempt was planned.
                task.env.push(("STATUS".to_string(), template("${{ run.status }}")));
            }
            task.cache = rng.percent(15).then(|| CachePolicy {
                key: vec![template("${{ params.items }}")],
                max_age: rng.percent(50).then(|| Millis::seconds(rng.between(10, 600))),
            });
            Action::Task(Box::new(task))
        }
    }
}

/// A task that runs something, with nothing else asked.
pub fn task(executor: &str) -> TaskTemplate {
    TaskTemplate {
        requires: Vec::new(),
        executor: executor.to_string(),
        program: ProgramTemplate::Script { interpreter: vec!["sh".into()], text: "true".into() },
        image: None,
        env: Vec::new(),
        secrets: Vec::new(),
        inputs: Vec::new(),
        artifacts: Vec::new(),
        outputs: BTreeMap::new(),
        resources: Default::default(),
        empty_workspace: true,
        require: BTreeMap::new(),
        prefer: BTreeMap::new(),
        cache: None,
    }
}

/// Compiles text that this file wrote.
pub fn template(text: &str) -> Template {
    Template::compile(text).expect("a template")
}
