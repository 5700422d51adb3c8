//! A schedule, the time, and runs that end when a test says so.

use std::collections::{BTreeMap, BTreeSet};

use dagbook_events::aggregate::Aggregate;
use dagbook_events::dag::trigger::{CatchUp, Overlap};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::RunId;
use dagbook_events::pipeline::PipelineVersion;
use dagbook_events::schedule::{
    BATCH, BackfillPlan, Facts, Fired, Schedule, ScheduleEvent, ScheduleSpec, SkipReason, Target,
    decide,
};
use dagbook_events::time::{Millis, Timestamp};

pub fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect(text)
}

pub fn spec(cron: &str, zone: &str) -> ScheduleSpec {
    ScheduleSpec {
        pipeline: "nightly".to_string(),
        version: None,
        cron: cron.to_string(),
        timezone: zone.to_string(),
        overlap: Overlap::Allow,
        catch_up: CatchUp::Latest,
        jitter_ms: Millis(0),
        params: BTreeMap::new(),
    }
}

pub fn version() -> PipelineVersion {
    let name = "nightly".to_string();
    PipelineVersion { name, version: 3, hash: Sha256Digest::of(b"nightly") }
}

/// One schedule and its history.
pub struct World {
    pub schedule: Schedule,
    pub history: Vec<(Timestamp, ScheduleEvent)>,
    pub ended: BTreeSet<RunId>,
    pub suspended: bool,
    pub target: Target,
    pub plan: Option<BackfillPlan>,
    minted: u128,
}

impl World {
    pub fn new(spec: ScheduleSpec, created: Timestamp) -> Self {
        let mut world = Self {
            schedule: Schedule::default(),
            history: Vec::new(),
            ended: BTreeSet::new(),
            suspended: false,
            target: Target::Version(version()),
            plan: None,
            minted: 0,
        };
        let events = world.schedule.create(spec, None, "user:ann").expect("it can be made");
        world.record(created, events);
        world
    }

    pub fn record(&mut self, now: Timestamp, events: Vec<ScheduleEvent>) {
        for event in events {
            self.schedule.apply(now, &event);
            self.history.push((now, event));
        }
    }

    /// What a process that lost everything but the record would hold.
    pub fn restart(&mut self) {
        let mut again = Schedule::default();
        for (at, event) in &self.history {
            again.apply(*at, event);
        }
        assert_eq!(again, self.schedule, "the fold is a function of the history");
    }

    pub fn decide(&mut self, now: Timestamp) -> Vec<ScheduleEvent> {
        let facts = Facts {
            name: "acme/nightly",
            now,
            suspended: self.suspended,
            target: &self.target,
            ended: &self.ended,
            backfill: self.plan.as_ref(),
        };
        let minted = &mut self.minted;
        let mut mint = || {
            *minted += 1;
            format!("018f0000-0000-7000-8000-{minted:012x}").parse().expect("an id")
        };
        decide(&self.schedule, &facts, &mut mint)
    }

    /// Decides and records until nothing is left to be done at that time.
    pub fn settle(&mut self, now: Timestamp) -> Vec<ScheduleEvent> {
        let mut all = Vec::new();
        for _ in 0..10_000 {
            let events = self.decide(now);
            if events.is_empty() {
                return all;
            }
            let fired = events.iter().filter(|e| matches!(e, ScheduleEvent::Fired(_))).count();
            assert!(fired <= BATCH, "{fired} firings in one go");
            self.record(now, events.clone());
            all.extend(events);
        }
        panic!("it never comes to rest");
    }

    pub fn end_all(&mut self) {
        self.ended.extend(self.schedule.open.iter().map(|firing| firing.fired.run));
    }

    pub fn fired(&self) -> Vec<&Fired> {
        fired(self.history.iter().map(|(_, event)| event))
    }
}

pub fn fired<'e>(events: impl IntoIterator<Item = &'e ScheduleEvent>) -> Vec<&'e Fired> {
    let one = |event: &'e ScheduleEvent| match event {
        ScheduleEvent::Fired(fired) => Some(&**fired),
        _ => None,
    };
    events.into_iter().filter_map(one).collect()
}

/// `fired 10:00`, `skipped 11:00–13:00 ×3 missed`.
pub fn words(events: &[ScheduleEvent]) -> Vec<String> {
    let clock = |at: Timestamp| at.to_rfc3339()[11..16].to_string();
    let one = |event: &ScheduleEvent| match event {
        ScheduleEvent::Fired(e) => format!("fired {}", clock(e.instant)),
        ScheduleEvent::Skipped(e) => {
            let reason: SkipReason = e.reason;
            format!("skipped {}-{} x{} {reason:?}", clock(e.first), clock(e.last), e.count)
        }
        other => {
            use dagbook_events::aggregate::AggregateEvent;
            other.kind().to_string()
        }
    };
    events.iter().map(one).collect()
}
