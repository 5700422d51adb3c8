//! What is recorded of an attempt for the bill: measurements on its way, both clocks at its end,
//! the truth that comes late.

mod run_support;

use std::sync::Arc;

use dagbook_events::billing::Whole;
use dagbook_events::ids::AttemptId;
use dagbook_events::run::event::{Heard, Hold, HoldBasis};
use dagbook_events::run::{Ask, Planning, RunEvent, TimerKind, replay};
use dagbook_events::step::{
    AttemptReport, Fault, Outcome, ReportBody, Requested, Usage, UsageQuality, UsageSource, Used,
};
use dagbook_events::time::{Millis, Timestamp};
use run_support::Story;

const DAG: &str = "dagbook: v1\nname: t\nsteps:\n  a:\n    run: \"true\"\n    \
                   resources: { cpu: 2, memory: 1Gi, gpu: { count: 2, model: H200 } }\n";

fn used(at: i64, cpu_ms: u64) -> ReportBody {
    ReportBody::Usage(Box::new(Usage {
        executor: "local".to_string(),
        class: "large".to_string(),
        node: "n7".to_string(),
        allocated_ms: Timestamp(10),
        released_ms: Timestamp(at),
        started_ms: Some(Timestamp(20)),
        requested: Requested::default(),
        used: Used { cpu_ms, ..Used::default() },
        source: UsageSource::Cgroup2,
        quality: UsageQuality::Exact,
        outcome: "running".to_string(),
        fault: Fault::None,
    }))
}

fn attempt(story: &Story) -> AttemptId {
    story.state.unit(story.unit("a")).attempt().expect("it lives").0
}

/// Gives it up: nothing is heard of it any more.
fn lose(story: &mut Story, at: i64) -> AttemptId {
    let attempt = attempt(story);
    story.at = at;
    story.give(Ask::Timer(TimerKind::Fence(attempt))).expect("it lives");
    attempt
}

#[test]
fn a_later_measurement_is_kept_and_an_earlier_repeated_or_hasty_one_is_not() {
    let mut story = Story::of(DAG);
    story.start("a");
    for (at, cpu_ms, is_kept) in
        [(60_000, 5, true), (60_000, 5, false), (59_000, 9, false), (60_999, 6, false)]
    {
        let kept = story.give(story.report("a", used(at, cpu_ms)));
        assert_eq!(kept.is_ok(), is_kept, "{at}: {kept:?}");
    }
    let kept = story.give(story.report("a", used(61_000, 6))).expect("a second later");
    assert_eq!(kept.0.len(), 1, "{kept:?}");
    assert!(kept.1.is_empty(), "nobody is asked for anything: {kept:?}");
    let attempt = attempt(&story);
    let last = story.state.notes[&attempt].measured.as_ref().expect("the last one");
    assert_eq!(last.used.cpu_ms, 6, "only the last is remembered");
    let late = story.report("a", used(90_000, 7));
    let end = story.end("a", Outcome::Succeeded);
    story.give(end).expect("it lives");
    assert!(story.give(late).is_err(), "nothing follows the end");
    assert!(story.state.notes.is_empty());
    assert_eq!(replay(&story.facts).1, []);
}

#[test]
fn an_end_says_when_the_orchestrator_heard_and_one_of_an_older_program_decides_again_as_it_is() {
    let mut story = Story::of(DAG);
    story.at = 1_000;
    let unit = story.unit("a");
    story.give(Ask::Plan(unit, Planning::default())).expect("it is due");
    story.at = 2_000;
    let body = ReportBody::Started { node: "n".into(), pid: None, handle: None };
    story.give(story.report("a", body)).expect("it is planned");
    story.at = 3_000;
    let end = story.end("a", Outcome::Succeeded);
    story.give(end).expect("it lives");
    let heard = story.facts.iter().find_map(|fact| match &fact.event {
        RunEvent::AttemptExited(e) => Some(e.heard),
        _ => None,
    });
    let [planned, started, exited] = [1_000, 2_000, 3_000].map(Timestamp);
    assert_eq!(heard, Some(Some(Heard { planned, started: Some(started), exited })));
    let mut older = story.facts.clone();
    for fact in &mut older {
        if let RunEvent::AttemptExited(e) = &mut fact.event {
            e.heard = None;
        }
    }
    assert_eq!(replay(&older).1, [], "what earlier versions recorded holds");
    for fact in &mut older {
        if let RunEvent::AttemptExited(e) = &mut fact.event {
            e.heard = Some(Heard { planned, started: None, exited });
        }
    }
    let found = replay(&older).1;
    let first = found.first().map(|finding| finding.message.as_str()).unwrap_or_default();
    assert!(
        first.contains("`attempt.exited` with other data"),
        "another clock is found: {found:?}"
    );
}

#[test]
fn one_that_is_given_up_asked_for_what_its_step_asks_since_it_was_planned() {
    let mut story = Story::of(DAG);
    story.at = 5_000;
    let unit = story.unit("a");
    let planning = Planning { class: Some("large".to_string()), ..Planning::default() };
    story.give(Ask::Plan(unit, planning)).expect("it is due");
    lose(&mut story, 90_000);
    let lost = story.facts.iter().find_map(|fact| match &fact.event {
        RunEvent::AttemptExited(e) => Some(e.exit.usage.clone()),
        _ => None,
    });
    let usage = lost.expect("its end");
    assert_eq!((usage.executor.as_str(), usage.class.as_str()), ("local", "large"));
    assert_eq!((usage.allocated_ms, usage.released_ms), (Timestamp(5_000), Timestamp(90_000)));
    assert_eq!((usage.requested.cpu_milli, usage.requested.mem_mib), (2_000, 1_024));
    let gpu = &usage.requested.gpu[0];
    assert_eq!((gpu.model.as_str(), gpu.mode.as_str(), gpu.count), ("H200", "exclusive", 2));
    assert_eq!((usage.source, usage.fault), (UsageSource::None, Fault::Infra));
}

#[test]
fn the_truth_about_one_that_was_given_up_comes_once_with_its_usage() {
    let mut story = Story::of(DAG);
    story.start("a");
    story.give(story.report("a", used(60_000, 5))).expect("it runs");
    let ReportBody::Usage(seen) = used(70_000, 9) else { panic!("as made above") };
    let truth = story.report("a", ReportBody::Usage(seen.clone()));
    let Ask::Observe(report) = truth else { panic!("as made above") };
    let attempt = lose(&mut story, 90_000);
    let lost = story.facts.iter().find_map(|fact| match &fact.event {
        RunEvent::AttemptExited(e) => Some(e.exit.usage.clone()),
        _ => None,
    });
    let usage = lost.expect("its end");
    assert_eq!((usage.node.as_str(), usage.allocated_ms), ("n7", Timestamp(10)), "as was measured");
    let stale_measure = Ask::Observe(report.clone());
    assert!(story.give(stale_measure).is_err(), "a measurement is not the truth");
    let mut exit = run_support::exit(Outcome::Succeeded);
    exit.usage = Usage { outcome: "succeeded".to_string(), ..*seen };
    let late = AttemptReport { body: ReportBody::Exited(Box::new(exit.clone())), ..*report };
    story.at = 100_000;
    story.give(Ask::Observe(Box::new(late.clone()))).expect("it was lost");
    let Some(RunEvent::ReportStale(stale)) = story.facts.last().map(|fact| &fact.event) else {
        panic!("a stale report is kept")
    };
    assert_eq!((stale.attempt, stale.usage.as_ref()), (attempt, Some(&exit.usage)));
    assert_eq!(stale.heard.map(|heard| heard.exited), Some(Timestamp(100_000)));
    assert!(story.give(Ask::Observe(Box::new(late))).is_err(), "once");
    assert_eq!(replay(&story.facts).1, []);
}

#[test]
fn a_hold_lasts_as_long_as_its_attempt_and_grows_with_one_that_runs_on() {
    let mut story = Story::of(DAG);
    let hold = Hold { nanos: Whole(600), ms: Millis(60_000), basis: HoldBasis::Recorded };
    let planning = Planning { hold: Some(hold), place: Some(Arc::from("here")), class: None };
    let unit = story.unit("a");
    story.give(Ask::Plan(unit, planning)).expect("it is due");
    assert_eq!(story.state.held_nanos, 600);
    story.give(story.report("a", used(30_010, 5))).expect("it runs");
    assert_eq!(story.state.held_nanos, 600, "half of its time");
    story.give(story.report("a", used(120_010, 9))).expect("it runs");
    assert_eq!(story.state.held_nanos, 1_200, "twice its time");
    let end = story.end("a", Outcome::Succeeded);
    story.give(end).expect("it lives");
    assert_eq!(story.state.held_nanos, 0);
    assert_eq!(replay(&story.facts).1, []);
}
