//! Making up for the past.

use std::collections::BTreeSet;

use dagbook_events::dag::trigger::Overlap;
use dagbook_events::schedule::{
    BackfillAsk, BackfillPlan, BackfillState, Order, ScheduleEvent, ScheduleRefusal, ScheduleSpec,
    Target, next_firings,
};
use dagbook_events::time::{Millis, Timestamp};

use crate::support::{World, at, fired, spec, words};

const NOW: &str = "2026-03-10T12:30:00Z";

fn ask() -> BackfillAsk {
    BackfillAsk {
        from: at("2026-03-10T00:00:00Z"),
        to: at("2026-03-10T06:00:00Z"),
        order: Order::Oldest,
        rate_per_minute: None,
        max_parallel: 2,
        again: false,
    }
}

fn plan(world: &World, ask: &BackfillAsk) -> BackfillPlan {
    let cron = world.schedule.cron.as_ref().expect("a schedule");
    let before: BTreeSet<Timestamp> = world.fired().iter().map(|f| f.instant).collect();
    BackfillPlan::new(cron, (ask.from, ask.to), ask.order, ask.again, &before)
}

fn begun(ask: &BackfillAsk) -> World {
    let skip = ScheduleSpec { overlap: Overlap::Skip, ..spec("0 * * * *", "UTC") };
    let mut world = World::new(skip, at("2026-03-10T03:30:00Z"));
    world.settle(at("2026-03-10T04:00:00Z"));
    world.end_all();
    let plan = plan(&world, ask);
    let event = world.schedule.backfill(ask, &plan, at(NOW), "user:ann").expect("accepted");
    world.record(at(NOW), vec![event]);
    world.plan = Some(plan);
    world
}

#[test]
fn it_fires_the_past_in_order_without_what_was_fired_before() {
    let mut world = begun(&ask());
    let mut instants = Vec::new();
    let mut now = at(NOW);
    for _ in 0..20 {
        now = now + Millis::seconds(1);
        let events = world.settle(now);
        let open = world.schedule.open.iter().filter(|f| f.fired.backfill.is_some());
        assert!(open.count() <= 2, "at most two at a time");
        instants.extend(fired(&events).iter().filter(|f| f.backfill == Some(1)).map(|f| f.instant));
        world.restart();
        world.end_all();
    }
    let hours = ["00", "01", "02", "03", "05"].map(|h| at(&format!("2026-03-10T{h}:00:00Z")));
    assert_eq!(instants, hours, "04:00 was fired by the clock");
    let backfill = world.schedule.backfill.as_ref().expect("it is remembered");
    assert!(matches!(backfill.state, BackfillState::Finished(_)));
    assert_eq!((backfill.fired, backfill.request.count), (5, 5));
}

#[test]
fn again_and_newest_first_do_what_they_say() {
    let mut world =
        begun(&BackfillAsk { order: Order::Newest, again: true, max_parallel: 100, ..ask() });
    let events = world.settle(at(NOW));
    let hours: Vec<String> = fired(&events)
        .iter()
        .filter(|f| f.backfill.is_some())
        .map(|f| f.instant.to_rfc3339()[11..13].to_string())
        .collect();
    assert_eq!(hours, ["05", "04", "03", "02", "01", "00"]);
}

#[test]
fn a_rate_spreads_it_over_time() {
    let mut world = begun(&BackfillAsk { rate_per_minute: Some(2), max_parallel: 100, ..ask() });
    let mut at_once = Vec::new();
    let mut now = at(NOW);
    for _ in 0..5 {
        let events = world.settle(now);
        at_once.push(fired(&events).iter().filter(|f| f.backfill.is_some()).count());
        now = now + Millis::seconds(15);
    }
    assert_eq!(at_once, [1, 0, 1, 0, 1], "one in thirty seconds");
}

#[test]
fn it_is_stopped_by_a_person_and_by_a_pipeline_that_is_gone() {
    let mut world = begun(&ask());
    world.settle(at(NOW));
    let event = world.schedule.cancel_backfill("wrong range".into(), "user:ann").expect("stopped");
    world.record(at(NOW), vec![event]);
    world.end_all();
    let events = world.settle(at(NOW));
    assert!(fired(&events).is_empty(), "{:?}", words(&events));
    assert_eq!(
        world.schedule.cancel_backfill(String::new(), "user:ann"),
        Err(ScheduleRefusal::NoBackfill)
    );

    let mut world = begun(&ask());
    world.target = Target::Gone("`nightly` is archived".to_string());
    let events = world.settle(at(NOW));
    assert!(matches!(events.last(), Some(ScheduleEvent::BackfillCancelled(_))));
}

#[test]
fn what_cannot_be_made_up_for_is_refused_with_its_reason() {
    let world = begun(&ask());
    let refusal = |world: &World, ask: BackfillAsk| {
        let plan = plan(world, &ask);
        world.schedule.backfill(&ask, &plan, at(NOW), "u").expect_err("refused").to_string()
    };
    assert!(refusal(&world, ask()).contains("backfill 1 goes on"));
    let mut world = begun(&ask());
    world.settle(at(NOW));
    let stop = world.schedule.cancel_backfill(String::new(), "u").expect("stopped");
    world.record(at(NOW), vec![stop]);
    let future = BackfillAsk { to: at("2027-01-01T00:00:00Z"), ..ask() };
    assert!(refusal(&world, future).contains("in the future"));
    let backwards = BackfillAsk { from: at(NOW), ..ask() };
    assert!(refusal(&world, backwards).contains("before it begins"));
    let nothing =
        BackfillAsk { from: at("2026-03-10T01:01:00Z"), to: at("2026-03-10T01:59:00Z"), ..ask() };
    assert!(refusal(&world, nothing).contains("no instant"));
    let done =
        BackfillAsk { from: at("2026-03-10T04:00:00Z"), to: at("2026-03-10T04:01:00Z"), ..ask() };
    assert!(refusal(&world, done).contains("were fired"));
    let huge = BackfillAsk { from: at("2020-01-01T00:00:00Z"), ..ask() };
    assert!(refusal(&world, huge).contains("more than 10000 instants"));
    assert!(refusal(&world, BackfillAsk { max_parallel: 0, ..ask() }).contains("from 1 to 100"));
}

#[test]
fn a_pause_holds_back_what_jitter_put_off_into_it_also_while_a_backfill_goes_on() {
    let late = ScheduleSpec { jitter_ms: Millis::seconds(1_800), ..spec("0 * * * *", "UTC") };
    let mut world = World::new(late, at("2026-03-10T06:30:00Z"));
    let instant = at("2026-03-10T07:00:00Z");
    let at_fire =
        next_firings(&world.schedule, "acme/nightly", at("2026-03-10T06:30:00Z"), 1)[0].at;
    assert!(at_fire > instant + Millis::seconds(5), "the test needs some jitter: {at_fire}");
    let now = instant + Millis::seconds(1);
    let paused = world.schedule.pause("wait".to_string(), "user:ann").expect("paused");
    world.record(now, vec![paused]);
    let plan = plan(&world, &ask());
    let event = world.schedule.backfill(&ask(), &plan, now, "user:ann").expect("accepted");
    world.record(now, vec![event]);
    world.plan = Some(plan);
    let events = world.settle(at_fire + Millis::seconds(1));
    let instants: Vec<Timestamp> = fired(&events).iter().map(|it| it.instant).collect();
    assert!(!instants.is_empty() && !instants.contains(&instant), "{:?}", words(&events));
    let resumed = world.schedule.resume(String::new(), "user:ann").expect("resumed");
    let now = at_fire + Millis::seconds(2);
    world.record(now, vec![resumed]);
    let events = world.settle(now);
    let clocked = fired(&events).iter().filter(|it| it.instant == instant).count();
    assert_eq!(clocked, 1, "it is dealt with once, behind the pause: {:?}", words(&events));
}
