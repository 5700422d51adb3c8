//! No instant twice, none forgotten, in order: whatever the clock does, whenever the process
//! starts again, and however late anybody looks.

use std::collections::BTreeMap;

use dagbook_events::dag::trigger::{CatchUp, Overlap, Schedule as Cron, next_after};
use dagbook_events::schedule::{ScheduleEvent, ScheduleSpec, Target};
use dagbook_events::time::{Millis, Timestamp};
use proptest::prelude::*;

use crate::support::{World, at, spec};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Happens {
    /// Time passes, in seconds; negative: the clock is set back.
    Time(i64),
    /// The process starts again.
    Restart,
    /// Somebody looks.
    Look,
    /// What was decided is lost before it is recorded.
    LostDecision,
    /// All runs end.
    RunsEnd,
    Pause,
    Resume,
    Suspend(bool),
    Archive(bool),
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        4 => (1i64..7_200).prop_map(Happens::Time),
        1 => (7_200i64..50_000).prop_map(Happens::Time),
        1 => (-40_000i64..0).prop_map(Happens::Time),
        1 => Just(Happens::Restart),
        6 => Just(Happens::Look),
        1 => Just(Happens::LostDecision),
        2 => Just(Happens::RunsEnd),
        1 => Just(Happens::Pause),
        1 => Just(Happens::Resume),
        1 => any::<bool>().prop_map(Happens::Suspend),
        1 => any::<bool>().prop_map(Happens::Archive),
    ];
    proptest::collection::vec(one, 1..30)
}

fn specs() -> impl Strategy<Value = ScheduleSpec> {
    let crons = ["*/7 * * * *", "0 * * * *", "30 2 * * *", "15,45 */3 * * 1-5", "0 0 1,15 * 5"];
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];
    let overlaps = [Overlap::Allow, Overlap::Skip, Overlap::Queue, Overlap::CancelRunning];
    let catch_ups =
        [CatchUp::None, CatchUp::Latest, CatchUp::All, CatchUp::AllWithin(Millis::seconds(20_000))];
    let pick = (
        proptest::sample::select(crons.to_vec()),
        proptest::sample::select(zones.to_vec()),
        proptest::sample::select(overlaps.to_vec()),
        proptest::sample::select(catch_ups.to_vec()),
        prop_oneof![3 => Just(0u64), 1 => 1u64..5_000_000],
    );
    pick.prop_map(|(cron, zone, overlap, catch_up, jitter)| ScheduleSpec {
        overlap,
        catch_up,
        jitter_ms: Millis(jitter),
        ..spec(cron, zone)
    })
}

/// Every instant that an event deals with, in the order of the events.
fn dealt_with(world: &World, cron: &Cron) -> Vec<Timestamp> {
    let mut all = Vec::new();
    for (_, event) in &world.history {
        match event {
            ScheduleEvent::Fired(e) if e.backfill.is_none() => all.push(e.instant),
            ScheduleEvent::Skipped(e) => {
                let mut instant = e.first;
                let before = all.len();
                all.push(instant);
                while instant < e.last {
                    instant = next_after(cron, instant).expect("there is a last one");
                    all.push(instant);
                }
                assert_eq!(all.len() - before, e.count as usize, "the count is right");
            }
            _ => {}
        }
    }
    all
}

fn play(spec: ScheduleSpec, happenings: &[Happens]) -> (World, Timestamp) {
    // The middle of the night of a spring change in Europe.
    let made = at("2026-03-28T20:13:00Z");
    let mut world = World::new(spec, made);
    let mut now = made;
    for it in happenings {
        match it {
            Happens::Time(seconds) => now = Timestamp(now.0 + seconds * 1_000),
            Happens::Restart => world.restart(),
            Happens::Look => drop(world.settle(now)),
            Happens::LostDecision => drop(world.decide(now)),
            Happens::RunsEnd => world.end_all(),
            Happens::Pause => {
                let event = world.schedule.pause(String::new(), "user:ann").ok();
                world.record(now, event.into_iter().collect());
            }
            Happens::Resume => {
                let event = world.schedule.resume(String::new(), "user:ann").ok();
                world.record(now, event.into_iter().collect());
            }
            Happens::Suspend(suspended) => world.suspended = *suspended,
            Happens::Archive(true) => world.target = Target::Gone("archived".to_string()),
            Happens::Archive(false) => {
                world.target = Target::Version(crate::support::version());
            }
        }
    }
    (world, now)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_instant_is_dealt_with_once_and_in_order(
        spec in specs(),
        happenings in happenings(),
    ) {
        let cron = spec.compiled().expect("a schedule");
        let (mut world, now) = play(spec.clone(), &happenings);
        let last = now.max(world.schedule.cursor) + Millis::seconds(20_000);
        // In the end somebody looks until nothing is left.
        for _ in 0..100 {
            world.end_all();
            if world.settle(last).is_empty() {
                break;
            }
        }
        let dealt = dealt_with(&world, &cron);
        let mut expected = Vec::new();
        let mut instant = at("2026-03-28T20:13:00Z");
        while let Some(next) = next_after(&cron, instant).filter(|next| *next <= world.schedule.cursor) {
            expected.push(next);
            instant = next;
        }
        prop_assert_eq!(&dealt, &expected);
        // What is not dealt with is put off by jitter, or paused.
        if world.schedule.phase == dagbook_events::schedule::Phase::Active {
            let rest = next_after(&cron, world.schedule.cursor).expect("it goes on");
            prop_assert!(rest + spec.jitter_ms >= last);
        }
        world.restart();
    }

    #[test]
    fn policies_hold_whatever_happens(spec in specs(), happenings in happenings()) {
        let (world, _) = play(spec.clone(), &happenings);
        let mut open: BTreeMap<_, Timestamp> = BTreeMap::new();
        let mut runs = std::collections::BTreeSet::new();
        for (when, event) in &world.history {
            let ended = match event {
                ScheduleEvent::Fired(e) => &e.ended[..],
                ScheduleEvent::Skipped(e) => &e.ended[..],
                _ => &[],
            };
            open.retain(|run, _| !ended.contains(run));
            if let ScheduleEvent::Fired(e) = event {
                prop_assert!(runs.insert(e.run), "a run's id is used once");
                prop_assert!(e.instant <= *when, "nothing fires before its time");
                match spec.overlap {
                    Overlap::Skip => prop_assert!(open.is_empty(), "one run at a time"),
                    Overlap::Queue => prop_assert_eq!(e.after.is_some(), !open.is_empty()),
                    Overlap::Allow | Overlap::CancelRunning => {}
                }
                let late = when.since(e.instant + dagbook_events::schedule::offset(
                    "acme/nightly", spec.jitter_ms, e.instant,
                ));
                let bound = match spec.catch_up {
                    CatchUp::None => Some(Millis::seconds(30)),
                    CatchUp::AllWithin(span) => Some(span),
                    CatchUp::Latest | CatchUp::All => None,
                };
                // Behind jitter an instant may have to wait for the one before it.
                if spec.jitter_ms.0 == 0 {
                    prop_assert!(bound.is_none_or(|bound| late <= bound));
                }
                open.insert(e.run, *when);
            }
        }
    }
}
