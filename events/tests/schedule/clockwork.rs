//! What becomes of instants: overlap, catch-up, pauses, jitter, changes of the clock.

use dagbook_events::dag::trigger::{CatchUp, Overlap};
use dagbook_events::schedule::{
    QUEUE_MAX, ScheduleEvent, ScheduleSpec, SkipReason, Target, next_firings, next_wake, offset,
};
use dagbook_events::time::{Millis, Timestamp};

use crate::support::{World, at, fired, spec, words};

const MADE: &str = "2026-03-01T00:30:00Z";

fn hourly(overlap: Overlap, catch_up: CatchUp) -> World {
    let spec = ScheduleSpec { overlap, catch_up, ..spec("0 * * * *", "UTC") };
    World::new(spec, at(MADE))
}

#[test]
fn an_instant_fires_when_its_time_has_come_and_not_before() {
    let mut world = hourly(Overlap::Allow, CatchUp::None);
    assert_eq!(next_wake(&world.schedule, "x"), Some(at("2026-03-01T01:00:00Z")));
    assert!(world.settle(at("2026-03-01T00:59:59.999Z")).is_empty());
    assert_eq!(words(&world.settle(at("2026-03-01T01:00:00Z"))), ["fired 01:00"]);
    assert!(world.settle(at("2026-03-01T01:00:00.001Z")).is_empty());
    assert_eq!(words(&world.settle(at("2026-03-01T02:00:29Z"))), ["fired 02:00"]);
}

#[test]
fn what_was_missed_is_made_up_for_as_the_policy_says() {
    let now = at("2026-03-01T05:10:00Z");
    let cases = [
        (CatchUp::None, vec!["skipped 01:00-05:00 x5 Missed"]),
        (CatchUp::Latest, vec!["skipped 01:00-04:00 x4 Missed", "fired 05:00"]),
        (
            CatchUp::AllWithin(Millis::seconds(2 * 3_600 + 900)),
            vec!["skipped 01:00-02:00 x2 Missed", "fired 03:00", "fired 04:00", "fired 05:00"],
        ),
        (
            CatchUp::All,
            vec!["fired 01:00", "fired 02:00", "fired 03:00", "fired 04:00", "fired 05:00"],
        ),
    ];
    for (catch_up, expected) in cases {
        let mut world = hourly(Overlap::Allow, catch_up);
        assert_eq!(words(&world.settle(now)), expected, "{catch_up:?}");
        assert!(world.settle(now).is_empty(), "{catch_up:?}: nothing twice");
    }
}

#[test]
fn an_instant_that_is_on_time_makes_up_for_the_missed_ones_before_it() {
    let mut world = hourly(Overlap::Allow, CatchUp::Latest);
    let events = world.settle(at("2026-03-01T04:00:10Z"));
    assert_eq!(words(&events), ["skipped 01:00-03:00 x3 Missed", "fired 04:00"]);
}

#[test]
fn no_more_than_a_thousand_missed_instants_are_made_up_for() {
    for (days, catch_up) in [(3, CatchUp::All), (40, CatchUp::AllWithin(Millis(u64::MAX)))] {
        let minutely = ScheduleSpec { catch_up, ..spec("* * * * *", "UTC") };
        let mut world = World::new(minutely, at("2026-03-01T00:00:00Z"));
        world.ended.clear();
        let now = at("2026-03-01T00:00:30Z") + Millis::seconds(days * 86_400);
        let mut events = Vec::new();
        loop {
            let some = world.settle(now);
            if some.is_empty() {
                break;
            }
            events.extend(some);
            world.end_all();
        }
        let made_up = fired(&events);
        assert_eq!(made_up.len(), 1_000, "{days} days");
        let newest = at("2026-03-01T00:00:00Z") + Millis::seconds(days * 86_400);
        assert_eq!(made_up.last().map(|f| f.instant), Some(newest));
        let left_out: u32 = events
            .iter()
            .filter_map(|event| match event {
                ScheduleEvent::Skipped(e) => {
                    assert_eq!(e.reason, SkipReason::CatchUpBound);
                    Some(e.count)
                }
                _ => None,
            })
            .sum();
        assert_eq!(u64::from(left_out), days * 1_440 - 1_000, "every instant is accounted for");
    }
}

#[test]
fn skip_leaves_out_an_instant_while_the_run_before_goes_on() {
    let mut world = hourly(Overlap::Skip, CatchUp::Latest);
    assert_eq!(words(&world.settle(at("2026-03-01T01:00:00Z"))), ["fired 01:00"]);
    let events = world.settle(at("2026-03-01T02:00:00Z"));
    assert_eq!(words(&events), ["skipped 02:00-02:00 x1 Overlap"]);
    world.end_all();
    assert_eq!(words(&world.settle(at("2026-03-01T03:00:00Z"))), ["fired 03:00"]);
    assert_eq!(world.schedule.open.len(), 1, "the end of the first run is recorded");
}

#[test]
fn queue_fires_each_instant_behind_the_run_before_until_too_many_wait() {
    let mut world = hourly(Overlap::Queue, CatchUp::Latest);
    let mut now = at("2026-03-01T01:00:00Z");
    let mut before = None;
    for _ in 0..=QUEUE_MAX {
        let events = world.settle(now);
        let run = fired(&events)[0];
        assert_eq!(run.after, before, "each waits for the one before it");
        before = Some(run.run);
        now = now + Millis::seconds(3_600);
    }
    let events = world.settle(now);
    assert!(words(&events)[0].ends_with("QueueFull"), "{:?}", words(&events));
    world.end_all();
    let events = world.settle(now + Millis::seconds(3_600));
    assert_eq!(fired(&events)[0].after, None);
}

#[test]
fn cancel_running_names_each_run_that_it_cancels_once() {
    let mut world = hourly(Overlap::CancelRunning, CatchUp::Latest);
    let first = fired(&world.settle(at("2026-03-01T01:00:00Z")))[0].run;
    let events = world.settle(at("2026-03-01T02:00:00Z"));
    assert_eq!(fired(&events)[0].cancels, [first]);
    let second = fired(&events)[0].run;
    let events = world.settle(at("2026-03-01T03:00:00Z"));
    assert_eq!(fired(&events)[0].cancels, [second], "the first is being cancelled already");
}

#[test]
fn instants_of_a_pause_are_skipped_and_those_around_it_are_not() {
    let mut world = hourly(Overlap::Allow, CatchUp::All);
    let pause = world.schedule.pause(String::new(), "user:ann").expect("paused");
    world.record(at("2026-03-01T01:30:00Z"), vec![pause]);
    assert_eq!(next_wake(&world.schedule, "x"), None, "nothing to wake for");
    assert!(next_firings(&world.schedule, "x", at("2026-03-01T01:30:00Z"), 3).is_empty());
    assert!(world.schedule.pause(String::new(), "user:ann").is_err(), "it is paused already");
    let resume = world.schedule.resume(String::new(), "user:ann").expect("resumed");
    world.record(at("2026-03-01T03:30:00Z"), vec![resume]);
    let events = world.settle(at("2026-03-01T04:05:00Z"));
    assert_eq!(words(&events), ["fired 01:00", "skipped 02:00-03:00 x2 Paused", "fired 04:00"]);
    assert!(world.schedule.pauses.is_empty(), "what lies behind is forgotten");
}

#[test]
fn a_suspended_tenant_and_a_pipeline_that_is_gone_skip_with_the_reason() {
    let mut world = hourly(Overlap::Allow, CatchUp::Latest);
    world.suspended = true;
    let events = world.settle(at("2026-03-01T01:00:00Z"));
    assert_eq!(words(&events), ["skipped 01:00-01:00 x1 TenantSuspended"]);
    world.suspended = false;
    world.target = Target::Gone("`nightly` is archived".to_string());
    let events = world.settle(at("2026-03-01T02:00:00Z"));
    assert_eq!(words(&events), ["skipped 02:00-02:00 x1 NoPipeline"]);
    world.target = Target::DoesNotFit("`epochs` must be a number".to_string());
    let events = world.settle(at("2026-03-01T03:00:00Z"));
    let ScheduleEvent::Skipped(skipped) = &events[0] else { panic!("{events:?}") };
    assert_eq!(skipped.detail, "`epochs` must be a number");
}

#[test]
fn a_clock_that_steps_back_fires_nothing_twice() {
    let mut world = hourly(Overlap::Allow, CatchUp::All);
    assert_eq!(words(&world.settle(at("2026-03-01T02:00:00Z"))).len(), 2);
    for back in ["2026-03-01T01:00:00Z", "2026-02-27T00:00:00Z", "2026-03-01T02:00:00Z"] {
        world.restart();
        assert!(world.settle(at(back)).is_empty(), "{back}");
    }
    assert_eq!(words(&world.settle(at("2026-03-01T03:00:00Z"))), ["fired 03:00"]);
}

#[test]
fn jitter_is_the_same_for_ever_and_keeps_the_order() {
    let jitter_ms = Millis::seconds(90 * 60);
    let schedule = ScheduleSpec { jitter_ms, catch_up: CatchUp::All, ..spec("0 * * * *", "UTC") };
    let mut world = World::new(schedule, at(MADE));
    let mut now = at(MADE);
    while now < at("2026-03-03T00:00:00Z") {
        world.settle(now);
        now = now + Millis::seconds(60);
    }
    let fired = world.fired();
    assert!(fired.len() >= 45, "{}", fired.len());
    assert!(fired.windows(2).all(|pair| pair[0].instant < pair[1].instant), "in order");
    for (when, event) in &world.history {
        if let ScheduleEvent::Fired(e) = event {
            let own = e.instant + offset("acme/nightly", jitter_ms, e.instant);
            assert!(*when >= own, "not before its own start");
        }
    }
    let spread: std::collections::BTreeSet<u64> = (0..48)
        .map(|n| offset("a", jitter_ms, at(MADE) + Millis::seconds(n * 3_600)).0 / 600_000)
        .collect();
    assert!(spread.len() > 5, "starts are spread: {spread:?}");
    assert_ne!(offset("a", jitter_ms, at(MADE)), offset("b", jitter_ms, at(MADE)));
}

#[test]
fn the_changes_of_the_clock_are_those_of_crontab() {
    let local = |cron: &str, from: &str, to: &str| -> Vec<String> {
        let zoned = ScheduleSpec { catch_up: CatchUp::All, ..spec(cron, "Europe/Berlin") };
        let mut world = World::new(zoned, at(from));
        let mut now = at(from);
        while now <= at(to) {
            world.settle(now);
            world.end_all();
            now = now + Millis::seconds(60);
        }
        world.fired().iter().map(|f| f.instant.to_rfc3339()[5..16].to_string()).collect()
    };
    // Spring: 02:00 becomes 03:00 at 01:00Z of the 29th. The skipped 02:30 fires behind the gap.
    let days = local("30 2 * * *", "2026-03-27T12:00:00Z", "2026-03-30T12:00:00Z");
    assert_eq!(days, ["03-28T01:30", "03-29T01:00", "03-30T00:30"]);
    // Autumn: 03:00 becomes 02:00 at 01:00Z of the 25th. The repeated 02:30 fires once.
    let days = local("30 2 * * *", "2026-10-23T12:00:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(days, ["10-24T00:30", "10-25T00:30", "10-26T01:30"]);
    // A wildcard hour goes on by elapsed time through both.
    let hours = local("30 * * * *", "2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z");
    assert_eq!(hours, ["10-24T23:30", "10-25T00:30", "10-25T01:30", "10-25T02:30"]);
    let hours = local("30 * * * *", "2026-03-28T23:00:00Z", "2026-03-29T03:00:00Z");
    assert_eq!(hours, ["03-28T23:30", "03-29T00:30", "03-29T01:30", "03-29T02:30"]);
}

#[test]
fn next_firings_are_shown_with_their_jitter() {
    let world = hourly(Overlap::Allow, CatchUp::Latest);
    let next = next_firings(&world.schedule, "acme/nightly", at(MADE), 3);
    let instants: Vec<Timestamp> = next.iter().map(|due| due.instant).collect();
    let hours = ["01", "02", "03"].map(|hour| at(&format!("2026-03-01T{hour}:00:00Z")));
    assert_eq!(instants, hours);
}

#[test]
fn what_is_shown_to_come_next_is_what_comes_at_that_time() {
    let minutely = ScheduleSpec { jitter_ms: Millis::seconds(300), ..spec("* * * * *", "UTC") };
    let mut world = World::new(minutely, at("2026-03-10T06:00:00Z"));
    let mut now = at("2026-03-10T06:07:13Z");
    world.settle(now);
    let shown = next_firings(&world.schedule, "acme/nightly", now, 12);
    assert!(shown.iter().any(|due| due.instant < now), "some wait for the end of their jitter");
    assert!(shown.windows(2).all(|two| two[0].at <= two[1].at), "in order: {shown:?}");
    let mut came = Vec::new();
    while came.len() < shown.len() {
        now = now + Millis(1);
        if shown.iter().any(|due| due.at == now || due.at + Millis(1) == now) || now.0 % 1_000 == 0
        {
            let events = world.settle(now);
            came.extend(fired(&events).iter().map(|it| (it.instant, now)));
        }
    }
    for (due, (instant, at)) in shown.iter().zip(came) {
        assert_eq!((due.instant, due.at), (instant, at));
    }
}
