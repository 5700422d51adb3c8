//! Runs told step by step: each test gives commands and compares events and effects.

mod run_support;

use std::collections::{BTreeMap, BTreeSet};

use dagbook_events::effect::Effect;
use dagbook_events::ids::StepKey;
use dagbook_events::invariants::check_all;
use dagbook_events::run::{
    Ask, Planning, Rejection, RunFact, RunStatus, TimerKind, UnitStatus, pending, timer_due,
};
use dagbook_events::step::{Outcome, StopCause};
use dagbook_events::time::Timestamp;
use dagbook_events::value::Value;
use run_support::{Story, check, earlier};

fn cancel(force: bool) -> Ask {
    Ask::Cancel { cause: StopCause::User, reason: "enough".to_string(), force }
}

fn failed() -> Outcome {
    Outcome::Failed { exit_code: 1 }
}

const CLEANED: &str = "
dagbook: v1
name: t
steps:
  a: { run: 'true' }
finally:
  clean: { run: 'true', env: { STATUS: '${{ run.status }}' }, retry: { max_attempts: 3 } }
";

#[test]
fn a_cancel_that_empties_the_main_part_spares_the_finally_part() {
    let mut story = Story::of(CLEANED);
    let queue = "timer Queue(StepKey(clean)) 86400000";
    check(&mut story, cancel(false), &["run.cancel_requested"], &[queue]);
    assert_eq!(story.state.unit(story.unit("clean")).status, UnitStatus::Due);
    let plan = Ask::Plan(story.unit("clean"), Planning::default());
    let overdue = "timer Overdue 87370000";
    check(&mut story, plan, &["attempt.planned clean"], &[overdue, "start clean"]);
    assert!(!pending(&story.state).iter().any(|effect| matches!(effect, Effect::Stop(_))));
    let end = story.end("clean", Outcome::Succeeded);
    check(&mut story, end, &["attempt.exited clean succeeded", "run.finished canceled"], &[]);
}

#[test]
fn a_cancel_during_the_finally_part_stops_it_for_good() {
    let mut story = Story::of(CLEANED);
    story.start("a");
    story.give(story.end("a", failed())).expect("it runs");
    story.start("clean");
    check(&mut story, cancel(false), &["run.cancel_requested"], &["stop clean User"]);
    // Its failure is not followed by another attempt.
    let end = story.end("clean", failed());
    check(&mut story, end, &["attempt.exited clean failed", "run.finished failed"], &[]);
}

#[test]
fn what_the_main_part_came_to_does_not_change_after_it() {
    let mut story = Story::of(CLEANED);
    story.start("a");
    story.give(story.end("a", failed())).expect("it runs");
    story.start("clean");
    let spec = |story: &Story| {
        pending(&story.state).into_iter().find_map(|effect| match effect {
            Effect::Start(spec) => Some(spec.hash()),
            _ => None,
        })
    };
    let before = spec(&story);
    story.give(cancel(false)).expect("it goes on");
    assert_eq!(spec(&story), before, "the attempt is asked for again with the same spec");
}

#[test]
fn a_failed_sub_dag_stops_its_siblings() {
    let mut story = Story::of(
        "dagbook: v1\nname: t\nsteps:\n  a: { dag: child.yaml, matrix: { n: [1, 2, 3] } }\n",
    );
    let child = story.state.units().find_map(|(_, unit)| match unit.status {
        UnitStatus::Held(dagbook_events::run::HoldKind::Child(run)) => Some(run),
        _ => None,
    });
    let finished = Ask::ChildFinished {
        step: story.state.key(story.state.units().next().expect("a child").0),
        run: child.expect("it was asked for"),
        status: RunStatus::Failed,
        outputs: BTreeMap::new(),
        reason: String::new(),
    };
    let stops = ["cancel child, force false", "cancel child, force false"];
    check(&mut story, finished, &["child.finished"], &stops);
}

#[test]
fn fail_fast_stops_each_sibling_once() {
    let mut story =
        Story::of("dagbook: v1\nname: t\nsteps:\n  a: { run: 'true', matrix: { n: [1, 2, 3] } }\n");
    for key in ["a[n=1]", "a[n=2]", "a[n=3]"] {
        story.start(key);
    }
    let end = story.end("a[n=2]", failed());
    let stops = ["stop a[n=1] FailFast", "stop a[n=3] FailFast"];
    check(&mut story, end, &["attempt.exited a[n=2] failed"], &stops);
    let end = story.end("a[n=1]", Outcome::Canceled { by: StopCause::FailFast, forced: false });
    check(&mut story, end, &["attempt.exited a[n=1] canceled"], &[]);
}

#[test]
fn a_step_that_another_made_due_gets_its_queue_timer() {
    let mut story = Story::of(
        "dagbook: v1\nname: t\nsteps:\n  a: { run: 'true' }\n  \
         b: { run: 'true', needs: [a], timeout: { queue: 30s } }\n",
    );
    story.start("a");
    story.at = 5_000;
    let end = story.end("a", Outcome::Succeeded);
    let timer = "timer Queue(StepKey(b)) 35000";
    check(&mut story, end, &["attempt.exited a succeeded"], &[timer]);
    story.at = 35_000;
    let fired = Ask::Timer(TimerKind::Queue(StepKey::new("b")));
    check(&mut story, fired, &["timer.fired", "run.finished failed"], &[]);
}

#[test]
fn after_a_restart_an_attempt_is_overdue_by_its_own_start() {
    let mut story = Story::of("dagbook: v1\nname: t\nsteps:\n  a: { run: 'true', timeout: 1m }\n");
    story.at = 3_600_000;
    story.start("a");
    let due = pending(&story.state).into_iter().find_map(|effect| match effect {
        Effect::SetTimer { timer, at } if matches!(timer.kind, TimerKind::Overdue(_)) => Some(at),
        _ => None,
    });
    // One minute to run, ten seconds of grace, a minute more.
    assert_eq!(due, Some(Timestamp(3_600_000 + 60_000 + 10_000 + 60_000)));
}

#[test]
fn an_attempt_killed_as_overdue_has_timed_out() {
    let mut story = Story::of(
        "dagbook: v1\nname: t\nsteps:\n  \
         a: { run: 'true', timeout: 1m, retry: { max_attempts: 2, on: [timeout], \
         backoff: { initial: 1s, jitter: none } } }\n",
    );
    story.start("a");
    let (attempt, _) = story.state.unit(story.unit("a")).attempt().expect("it lives");
    let timer = Ask::Timer(TimerKind::Overdue(attempt));
    story.at = 129_999;
    assert!(matches!(story.give(timer.clone()), Err(Rejection::Settled(_))), "it is early");
    story.at = 130_000;
    let effects = ["stop a Timeout", "timer Fence 190000"];
    check(&mut story, timer, &["timer.fired"], &effects);
    let end = story.end("a", Outcome::Canceled { by: StopCause::Timeout, forced: true });
    let backoff = "timer Backoff(StepKey(a)) 131000";
    check(&mut story, end, &["attempt.exited a again"], &[backoff]);
}

#[test]
fn an_early_timer_is_refused_and_says_when_it_is_due() {
    let mut story = Story::of("dagbook: v1\nname: t\nsteps:\n  a: { wait: { for: 10s } }\n");
    let timer = TimerKind::Sleep(StepKey::new("a"));
    story.at = -3_600_000;
    assert!(story.give(Ask::Timer(timer.clone())).is_err());
    assert_eq!(timer_due(&story.state, &timer), Some(Timestamp(10_000)));
    story.at = 10_000;
    check(&mut story, Ask::Timer(timer), &["timer.fired", "run.finished succeeded"], &[]);
}

#[test]
fn children_of_other_items_take_no_results_over() {
    let text = "dagbook: v1\nname: t\nparams:\n  items: { type: list, default: [x, y] }\nsteps:\n  \
                a: { run: 'true', for_each: '${{ params.items }}', cache: { key: [k] } }\n";
    let reuse = |items: &[&str]| {
        let items = items.iter().map(Value::str).collect();
        BTreeMap::from([
            (StepKey::new("a"), earlier(Some(items))),
            (StepKey::new("a[0]"), earlier(None)),
        ])
    };
    let events = |story: &Story| -> Vec<&'static str> {
        story.facts.iter().map(|fact| fact.event.kind()).collect()
    };
    let same = Story::again(text, reuse(&["x", "y"]));
    assert_eq!(events(&same), ["run.submitted", "step.expanded", "step.reused", "cache.asked"]);
    let other = Story::again(text, reuse(&["q", "y"]));
    assert_eq!(events(&other), ["run.submitted", "step.expanded", "cache.asked", "cache.asked"]);
}

/// A history that keeps every rule: two attempts, one after the other.
fn history() -> Vec<RunFact> {
    let mut story = Story::of(
        "dagbook: v1\nname: t\nmax_parallel: 1\nsteps:\n  \
         a: { run: 'true', retry: { max_attempts: 2, backoff: { initial: 1s, jitter: none } } }\n  \
         b: { run: 'true', needs: [a] }\n",
    );
    story.start("a");
    story.give(story.end("a", failed())).expect("it runs");
    story.at = 1_000;
    story.give(Ask::Timer(TimerKind::Backoff(StepKey::new("a")))).expect("it is due");
    story.start("a");
    story.give(story.end("a", Outcome::Succeeded)).expect("it runs");
    story.start("b");
    story.give(story.end("b", Outcome::Succeeded)).expect("it runs");
    story.facts
}

/// The rules that a history breaks.
fn broken(facts: &[RunFact]) -> BTreeSet<&'static str> {
    check_all(facts).into_iter().map(|violation| violation.rule).collect()
}

#[test]
fn each_rule_sees_the_history_that_breaks_it() {
    let facts = history();
    let kinds: Vec<_> = facts.iter().map(|fact| fact.event.kind()).collect();
    let at = |kind: &str| kinds.iter().position(|k| *k == kind).expect("it is in the history");
    let last = |kind: &str| kinds.iter().rposition(|k| *k == kind).expect("it is in the history");
    assert_eq!(broken(&facts), BTreeSet::new());

    let sees = |rule: &str, change: &dyn Fn(&mut Vec<RunFact>)| {
        let mut changed = facts.clone();
        change(&mut changed);
        let broken = broken(&changed);
        assert!(broken.contains(rule), "{rule} does not see it, {broken:?} do");
        assert!(broken.contains("replays"), "what was changed is not what is decided again");
    };
    let exit = at("attempt.exited");
    sees("one_outcome", &|f| f.insert(exit + 1, f[exit].clone()));
    sees("after_end", &|f| f.push(f[exit].clone()));
    sees("after_end", &|f| drop(f.remove(0)));
    let planned = at("attempt.planned");
    sees("planned_once", &|f| f.insert(planned + 1, f[planned].clone()));
    sees("planned_first", &|f| drop(f.remove(planned)));
    sees("epochs", &|f| drop(f.remove(planned)));
    // The first attempt's end is taken out: then two live at one time, and one for ever.
    sees("limits", &|f| drop(f.remove(exit)));
    sees("slots", &|f| drop(f.remove(exit)));
    sees("steps_done", &|f| drop(f.remove(last("attempt.exited"))));
    // `b` begins before `a`, which it needs, has succeeded.
    sees("when_rules", &|f| {
        let second = last("attempt.planned");
        f.swap(second, second - 1);
    });
}
