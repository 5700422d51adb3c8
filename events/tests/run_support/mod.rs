//! A run told step by step: give a command, compare the events and the effects.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::dag::{self, PlanFacts, SourceBundle};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::effect::Effect;
use dagbook_events::ids::{RunId, StepKey, TenantId};
use dagbook_events::invariants::check_all;
use dagbook_events::run::event::{ReusedResult, Source, Submitted};
use dagbook_events::run::{
    Ask, Planning, Rejection, RunCommand, RunEvent, RunFact, RunState, UnitRef, fold, handle, react,
};
use dagbook_events::step::{
    AttemptExit, AttemptReport, LogSummary, Outcome, ReportBody, Requested, Usage, UsageQuality,
    UsageSource, Used,
};
use dagbook_events::time::Timestamp;
use dagbook_events::value::Value;

/// A run and its history.
pub struct Story {
    pub state: RunState,
    pub facts: Vec<RunFact>,
    /// Now, in milliseconds.
    pub at: i64,
}

impl Story {
    /// Submits the file at 0 ms.
    pub fn of(text: &str) -> Self {
        Self::again(text, BTreeMap::new())
    }

    /// Submits the file with results of an earlier run.
    pub fn again(text: &str, reuse: BTreeMap<StepKey, ReusedResult>) -> Self {
        let files = [
            ("dag.yaml", text),
            ("child.yaml", "dagbook: v1\nname: child\nsteps:\n  s: { run: \"true\" }\n"),
        ];
        let bundle = SourceBundle {
            entry: "dag.yaml".to_string(),
            files: files.map(|(path, text)| (path.to_string(), text.to_string())).into(),
        };
        let plan = dag::plan(&bundle, &BTreeMap::new(), &PlanFacts::default())
            .unwrap_or_else(|findings| panic!("{findings:#?}"));
        let submitted = Submitted {
            run: RunId(uuid::Uuid::from_u128(1)),
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
            reuse,
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
        let mut story = Self { state: RunState::unborn(), facts: Vec::new(), at: 0 };
        story.give(Ask::Submit(Box::new(submitted))).expect("it is new");
        story
    }

    /// Gives a command and keeps what it makes happen.
    pub fn give(&mut self, ask: Ask) -> Result<(Vec<String>, Vec<String>), Rejection> {
        let command = RunCommand { at: Timestamp(self.at), ask };
        let facts = handle(&mut self.state, &command)?;
        let effects = facts.iter().flat_map(|fact| react(&self.state, fact));
        let effects = effects.filter_map(|effect| self.effect(&effect)).collect();
        let events = facts.iter().map(event).collect();
        self.facts.extend(facts);
        assert_eq!(self.state, fold(&self.facts), "the live state is the refold");
        let violations = check_all(&self.facts);
        assert!(violations.is_empty(), "{violations:?}");
        Ok((events, effects))
    }

    /// Plans the next attempt of a unit and lets it start.
    pub fn start(&mut self, key: &str) {
        let unit = self.unit(key);
        self.give(Ask::Plan(unit, Planning::default())).unwrap_or_else(|e| panic!("{key}: {e}"));
        self.give(
            self.report(key, ReportBody::Started { node: "n".into(), pid: None, handle: None }),
        )
        .expect("it is planned");
    }

    pub fn unit(&self, key: &str) -> UnitRef {
        self.state.find(&StepKey::new(key)).unwrap_or_else(|| panic!("no unit {key}"))
    }

    /// A report about a unit's live attempt.
    pub fn report(&self, key: &str, body: ReportBody) -> Ask {
        let unit = self.state.unit(self.unit(key));
        let (attempt, _) = unit.attempt().unwrap_or_else(|| panic!("{key} has no attempt"));
        Ask::Observe(Box::new(AttemptReport {
            run: self.state.id(),
            step: StepKey::new(key),
            attempt,
            epoch: unit.epoch,
            at: Timestamp(self.at),
            body,
        }))
    }

    /// The end of a unit's live attempt.
    pub fn end(&self, key: &str, outcome: Outcome) -> Ask {
        self.report(key, ReportBody::Exited(Box::new(exit(outcome))))
    }

    fn effect(&self, effect: &Effect) -> Option<String> {
        let name = |attempt| {
            let unit = self.state.live.get(attempt);
            unit.map_or("?".to_string(), |unit| self.state.key(*unit).to_string())
        };
        Some(match effect {
            Effect::Start(spec) => format!("start {}", spec.step),
            Effect::Stop(stop) => format!("stop {} {:?}", name(&stop.attempt), stop.cause),
            Effect::CancelChild { force, .. } => format!("cancel child, force {force}"),
            Effect::SubmitChild(child) => format!("submit child of {}", child.step),
            Effect::SetTimer { timer, at } => match format!("{:?}", timer.kind) {
                kind if kind.starts_with("Overdue") => format!("timer Overdue {}", at.0),
                kind if kind.starts_with("Fence") => format!("timer Fence {}", at.0),
                kind => format!("timer {kind} {}", at.0),
            },
            _ => return None,
        })
    }
}

/// The one helper: what a command makes happen, and what the world is asked then.
pub fn check(story: &mut Story, ask: Ask, events: &[&str], effects: &[&str]) {
    let (happened, asked) = story.give(ask).unwrap_or_else(|e| panic!("refused: {e}"));
    assert_eq!(happened, events, "events");
    assert_eq!(asked, effects, "effects");
}

fn event(fact: &RunFact) -> String {
    let kind = fact.event.kind();
    match &fact.event {
        RunEvent::StepSkipped(e) => format!("{kind} {}", e.step),
        RunEvent::StepReused(e) => format!("{kind} {}", e.step),
        RunEvent::CacheAsked(e) => format!("{kind} {}", e.step),
        RunEvent::ChildRequested(e) => format!("{kind} {}", e.step),
        RunEvent::AttemptPlanned(e) => format!("{kind} {}", e.step),
        RunEvent::AttemptExited(e) => format!("{kind} {} {}", e.step, verdict(&e.verdict)),
        RunEvent::Finished(e) => format!("{kind} {}", e.status.as_str()),
        _ => kind.to_string(),
    }
}

fn verdict(verdict: &dagbook_events::run::event::Verdict) -> &'static str {
    use dagbook_events::run::event::Verdict;
    match verdict {
        Verdict::Succeeded => "succeeded",
        Verdict::Failed { .. } => "failed",
        Verdict::Canceled => "canceled",
        Verdict::Retry { .. } => "again",
    }
}

pub fn exit(outcome: Outcome) -> AttemptExit {
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
    AttemptExit {
        outcome,
        usage,
        outputs: BTreeMap::new(),
        output_error: None,
        artifacts: BTreeMap::new(),
        log: LogSummary::default(),
        leftover_processes: 0,
    }
}

/// A result of an earlier run.
pub fn earlier(items: Option<Vec<Value>>) -> ReusedResult {
    ReusedResult {
        from_run: RunId(uuid::Uuid::from_u128(9)),
        outputs: BTreeMap::new(),
        artifacts: BTreeMap::new(),
        items: items.map(Arc::from),
    }
}

/// A digest for where any will do.
pub const ANY: Sha256Digest = Sha256Digest([0; 32]);
