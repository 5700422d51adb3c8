//! Traces of runs, compared as trees with their times.

mod run_support;

use std::collections::BTreeMap;

use dagbook_events::ids::{RunId, StepKey};
use dagbook_events::project::{Attribute, Span, SpanKind, SpanStatus, Spans};
use dagbook_events::run::event::RunEvent;
use dagbook_events::run::{Ask, Planning, RunFact};
use dagbook_events::step::{Outcome, PendingReason, ReportBody, StopCause};
use dagbook_events::trace::{SpanId, TraceContext};
use run_support::{Story, earlier};

fn file(steps: &str) -> String {
    format!("dagbook: v1\nname: t\nsteps:\n{steps}")
}

/// A line a span: depth, name, begin and end, status.
fn tree(spans: &[Span]) -> Vec<String> {
    let root = spans.iter().find(|span| span.kind == SpanKind::Run).expect("a run's span");
    let mut lines = Vec::new();
    walk(spans, root, 0, &mut lines);
    assert_eq!(lines.len(), spans.len(), "every span hangs below the run's: {spans:#?}");
    lines
}

fn walk(spans: &[Span], span: &Span, depth: usize, lines: &mut Vec<String>) {
    let status = match &span.status {
        SpanStatus::Unset => "unset".to_string(),
        SpanStatus::Ok => "ok".to_string(),
        SpanStatus::Error(why) => format!("error: {why}"),
    };
    let indent = "  ".repeat(depth);
    lines.push(format!("{indent}{} {}..{} {status}", span.name, span.start.0, span.end.0));
    let mut below: Vec<&Span> =
        spans.iter().filter(|other| other.parent == Some(span.context.span)).collect();
    below.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
    for child in below {
        assert_eq!(child.context.trace, span.context.trace);
        assert!(child.start >= span.start, "{} begins before {}", child.name, span.name);
        walk(spans, child, depth + 1, lines);
    }
}

fn attribute<'a>(span: &'a Span, name: &str) -> &'a Attribute {
    let found = span.attributes.iter().find(|(key, _)| *key == name);
    &found.unwrap_or_else(|| panic!("{} has no {name}: {span:#?}", span.name)).1
}

fn text(text: &str) -> Attribute {
    Attribute::Text(text.to_string())
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}"))
}

fn end(story: &mut Story, key: &str, outcome: Outcome) {
    story.give(story.end(key, outcome)).unwrap_or_else(|e| panic!("{key}: {e}"));
}

fn failed() -> Outcome {
    Outcome::Failed { exit_code: 3 }
}

#[test]
fn retries_are_attempts_of_one_step() {
    let dag = "  a: { run: 'true', retry: { max_attempts: 2, backoff: { initial: 1s, jitter: none } } }\n  \
               b: { needs: a, run: 'true' }\n";
    let mut story = Story::of(&file(dag));
    story.at = 10;
    story.start("a");
    story.at = 30;
    end(&mut story, "a", failed());
    story.at = 1_030;
    story
        .give(Ask::Timer(dagbook_events::run::TimerKind::Backoff(StepKey::new("a"))))
        .expect("it waits for it");
    story.at = 1_040;
    story.start("a");
    story.at = 1_050;
    end(&mut story, "a", Outcome::Succeeded);
    story.at = 1_060;
    story.start("b");
    story.at = 1_070;
    end(&mut story, "b", Outcome::Succeeded);
    let spans = Spans::of(&story.facts);
    assert_eq!(
        tree(&spans),
        [
            "run t 0..1070 ok",
            "  step a 0..1050 ok",
            "    attempt 1 of a 10..30 error: exit code 3",
            "    attempt 2 of a 1040..1050 ok",
            "  step b 1050..1070 ok",
            "    attempt 1 of b 1060..1070 ok",
        ]
    );
    let first = named(&spans, "attempt 1 of a");
    assert_eq!(attribute(first, "process.exit.code"), &Attribute::Int(3));
    assert_eq!(attribute(first, "dagbook.attempt.waited_ms"), &Attribute::Int(10));
    assert_eq!(first.events[0].name, "started");
    let step = named(&spans, "step a");
    assert_eq!(attribute(step, "dagbook.step.attempts"), &Attribute::Int(2));
    assert_eq!(step.events[0].name, "retry");
}

#[test]
fn children_of_a_fan_out_hang_below_their_step() {
    let dag = "  a: { matrix: { n: [1, 2] }, run: 'true' }\n";
    let mut story = Story::of(&file(dag));
    for (at, key) in [(10, "a[n=1]"), (20, "a[n=2]")] {
        story.at = at;
        story.start(key);
    }
    for (at, key) in [(30, "a[n=2]"), (40, "a[n=1]")] {
        story.at = at;
        end(&mut story, key, Outcome::Succeeded);
    }
    assert_eq!(
        tree(&Spans::of(&story.facts)),
        [
            "run t 0..40 ok",
            "  step a 0..40 ok",
            "    step a[n=1] 0..40 ok",
            "      attempt 1 of a[n=1] 10..40 ok",
            "    step a[n=2] 0..30 ok",
            "      attempt 1 of a[n=2] 20..30 ok",
        ]
    );
}

#[test]
fn a_child_that_is_stopped_with_its_step_ends_with_it() {
    let dag = "  a:\n    matrix: { n: [1, 2] }\n    run: 'true'\n    \
               retry: { max_attempts: 2, backoff: { initial: 1m, jitter: none } }\n";
    let mut story = Story::of(&file(dag));
    story.start("a[n=1]");
    story.start("a[n=2]");
    story.at = 20;
    end(&mut story, "a[n=1]", failed());
    story.at = 30;
    let cancel = Ask::Cancel { cause: StopCause::User, reason: "enough".into(), force: false };
    story.give(cancel).expect("it goes on");
    story.at = 40;
    let stopped = Outcome::Canceled { by: StopCause::User, forced: false };
    end(&mut story, "a[n=2]", stopped);
    assert_eq!(
        tree(&Spans::of(&story.facts)),
        [
            "run t 0..40 unset",
            "  step a 0..40 unset",
            "    step a[n=1] 0..30 unset",
            "      attempt 1 of a[n=1] 0..20 error: exit code 3",
            "    step a[n=2] 0..40 unset",
            "      attempt 1 of a[n=2] 0..40 unset",
        ]
    );
}

#[test]
fn an_approval_is_a_wait_below_its_step() {
    let dag = "  ask: { approval: { role: owner } }\n  a: { needs: ask, run: 'true' }\n";
    let mut story = Story::of(&file(dag));
    story.at = 500;
    let answer = Ask::Approve { step: StepKey::new("ask"), approved: false, comment: "no".into() };
    story.give(answer).expect("it is asked");
    let spans = Spans::of(&story.facts);
    let lines = tree(&spans);
    assert_eq!(
        lines[..3],
        [
            "run t 0..500 error: step `ask` failed: rejected: no",
            "  step ask 0..500 error: rejected: no",
            "    approval ask 0..500 unset"
        ]
    );
    let wait = named(&spans, "approval ask");
    assert_eq!(attribute(wait, "dagbook.approval.approved"), &Attribute::Bool(false));
    assert_eq!(attribute(wait, "dagbook.approval.role"), &text("owner"));
}

#[test]
fn an_attempt_that_is_lost_says_so() {
    let mut story = Story::of(&file("  a: { run: 'true' }\n"));
    story.start("a");
    story.at = 10;
    story.give(story.report("a", ReportBody::Suspect)).expect("it runs");
    story.at = 20;
    end(&mut story, "a", Outcome::Lost { detail: "the machine is gone".into() });
    let spans = Spans::of(&story.facts);
    let lost = named(&spans, "attempt 1 of a");
    assert_eq!(attribute(lost, "dagbook.attempt.outcome"), &text("lost"));
    assert_eq!(lost.status, SpanStatus::Error("lost: the machine is gone".into()));
    let events: Vec<_> = lost.events.iter().map(|event| (event.name, event.at.0)).collect();
    assert_eq!(events, [("started", 0), ("suspected", 10)]);
}

#[test]
fn what_an_attempt_waits_for_is_an_event_of_its_span() {
    let mut story = Story::of(&file("  a: { run: 'true' }\n"));
    let unit = story.unit("a");
    story.give(Ask::Plan(unit, Planning::default())).expect("it is due");
    story.at = 5;
    let reason = PendingReason { code: "image_pull".into(), message: "pulling".into() };
    story.give(story.report("a", ReportBody::Pending { reason })).expect("it is planned");
    story.at = 9;
    end(&mut story, "a", Outcome::Succeeded);
    let spans = Spans::of(&story.facts);
    let event = &named(&spans, "attempt 1 of a").events[0];
    assert_eq!((event.name, event.at.0), ("pending", 5));
    assert_eq!(event.attributes[0], ("code", text("image_pull")));
}

#[test]
fn skipped_and_reused_steps_have_spans_of_no_length() {
    let dag = "  a: { run: 'true' }\n  b: { needs: a, if: '${{ false }}', run: 'true' }\n";
    let reuse = BTreeMap::from([(StepKey::new("a"), earlier(None))]);
    let story = Story::again(&file(dag), reuse);
    let spans = Spans::of(&story.facts);
    assert_eq!(tree(&spans)[1..], ["  step a 0..0 ok", "  step b 0..0 unset"]);
    let from = RunId(uuid::Uuid::from_u128(9)).to_string();
    assert_eq!(attribute(named(&spans, "step a"), "dagbook.reused_from"), &text(&from));
    assert_eq!(attribute(named(&spans, "step b"), "dagbook.step.status"), &text("skipped"));
}

/// The same history under another trace.
fn within(facts: &[RunFact], above: TraceContext) -> Vec<RunFact> {
    let mut facts = facts.to_vec();
    if let RunEvent::Submitted(submitted) = &mut facts[0].event {
        submitted.traceparent = Some(above.to_string());
    }
    facts
}

#[test]
fn a_run_goes_on_in_the_trace_of_whoever_asked_for_it() {
    let mut story = Story::of(&file("  a: { run: 'true' }\n"));
    story.start("a");
    end(&mut story, "a", Outcome::Succeeded);
    let above: TraceContext =
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00".parse().expect("a context");
    let spans = Spans::of(&within(&story.facts, above));
    assert!(spans.iter().all(|span| span.context.trace == above.trace));
    assert!(spans.iter().all(|span| !span.context.sampled));
    let run = named(&spans, "run t");
    assert_eq!((run.parent, run.parent_is_remote), (Some(above.span), true));
    let alone = Spans::of(&story.facts);
    let ids = |spans: &[Span]| spans.iter().map(|s| s.context.span).collect::<Vec<_>>();
    assert_eq!(ids(&spans), ids(&alone), "span ids do not depend on the trace");
}

#[test]
fn a_sub_dag_is_told_below_the_step_that_asked_for_it() {
    let mut story = Story::of(&file("  sub: { dag: child.yaml }\n"));
    let run = story.state.id();
    let child = story.facts.iter().find_map(|fact| match &fact.event {
        RunEvent::ChildRequested(e) => Some(e.run),
        _ => None,
    });
    let child = child.expect("it is asked for");
    story.at = 70;
    story
        .give(Ask::ChildFinished {
            step: StepKey::new("sub"),
            run: child,
            status: dagbook_events::run::RunStatus::Succeeded,
            outputs: BTreeMap::new(),
            reason: String::new(),
        })
        .expect("it is waited for");
    let spans = Spans::of(&story.facts);
    assert_eq!(tree(&spans), ["run t 0..70 ok", "  step sub 0..70 ok"]);
    let step = named(&spans, "step sub");
    assert_eq!(attribute(step, "dagbook.child_run"), &text(&child.to_string()));
    // The child's submission names this very span as the one above it.
    assert_eq!(step.context.span, SpanId::of_step(run, &StepKey::new("sub")));
}

#[test]
fn whoever_takes_a_run_over_tells_the_rest_and_nothing_twice() {
    let dag = "  a: { matrix: { n: [1, 2, 3] }, run: 'true' }\n  b: { needs: a, run: 'true' }\n";
    let mut story = Story::of(&file(dag));
    for key in ["a[n=1]", "a[n=2]", "a[n=3]", "b"] {
        story.at += 10;
        story.start(key);
        story.at += 10;
        end(&mut story, key, Outcome::Succeeded);
    }
    let whole = Spans::of(&story.facts);
    for cut in 0..=story.facts.len() {
        let (before, after) = story.facts.split_at(cut);
        let mut told = Spans::of(before);
        let mut rest = Spans::behind(before);
        told.extend(after.iter().flat_map(|fact| rest.apply(fact)));
        assert_eq!(told, whole, "cut at {cut}");
    }
}
