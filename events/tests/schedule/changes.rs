//! Making, changing and removing schedules, by hand and by a pipeline.

use std::collections::BTreeMap;

use dagbook_events::dag;
use dagbook_events::dag::trigger::CatchUp;
use dagbook_events::schedule::{
    Phase, Schedule, ScheduleEvent, ScheduleRefusal, ScheduleSpec, SpecError, owned_changes,
    owned_removals,
};
use dagbook_events::time::Millis;
use dagbook_events::value::Value;

use crate::support::{World, at, spec, words};

#[test]
fn what_cannot_be_a_schedule_is_refused() {
    let refused = |spec: ScheduleSpec| {
        Schedule::default().create(spec, None, "user:ann").expect_err("refused")
    };
    let error = refused(spec("0 0 30 2 *", "UTC"));
    assert!(error.to_string().contains("never fires"), "{error}");
    let error = refused(spec("0 0 * * *", "Europe/Wien"));
    assert!(error.to_string().contains("no time zone"), "{error}");
    let long = ScheduleSpec { jitter_ms: Millis(86_400_001), ..spec("@daily", "UTC") };
    assert!(matches!(refused(long), ScheduleRefusal::Spec(SpecError::Jitter(_))));
    let text = Value::str("x".repeat(20_000));
    let params = BTreeMap::from([("note".to_string(), text)]);
    let large = ScheduleSpec { params, ..spec("@daily", "UTC") };
    assert!(matches!(refused(large), ScheduleRefusal::Spec(SpecError::Params(_))));
}

#[test]
fn a_change_of_times_gives_up_what_was_due_and_a_change_of_the_rest_does_not() {
    let made = at("2026-03-01T00:30:00Z");
    let hourly = ScheduleSpec { catch_up: CatchUp::All, ..spec("0 * * * *", "UTC") };
    let mut world = World::new(hourly.clone(), made);
    let now = at("2026-03-01T03:10:00Z");
    let other = ScheduleSpec { version: Some(2), ..hourly.clone() };
    let events = world.schedule.change(other.clone(), now, "user:ann").expect("changed");
    assert_eq!(words(&events), ["schedule.changed"]);
    world.record(now, events);
    assert!(world.schedule.change(other, now, "user:ann").expect("the same").is_empty());
    let later = ScheduleSpec { cron: "30 * * * *".to_string(), ..hourly };
    let events = world.schedule.change(later, now, "user:ann").expect("changed");
    assert_eq!(words(&events), ["skipped 01:00-03:00 x3 Changed", "schedule.changed"]);
    world.record(now, events);
    assert_eq!(words(&world.settle(at("2026-03-01T03:30:00Z"))), ["fired 03:30"]);
}

#[test]
fn a_deleted_schedule_is_silent_and_its_name_may_be_used_again() {
    let mut world = World::new(spec("0 * * * *", "UTC"), at("2026-03-01T00:30:00Z"));
    let now = at("2026-03-01T02:10:00Z");
    let events = world.schedule.delete("enough".to_string(), now, "user:ann").expect("deleted");
    assert_eq!(words(&events), ["skipped 01:00-02:00 x2 Deleted", "schedule.deleted"]);
    world.record(now, events);
    assert!(world.settle(at("2026-03-02T00:00:00Z")).is_empty());
    assert_eq!(world.schedule.pause(String::new(), "x"), Err(ScheduleRefusal::Unborn));
    let again = world.schedule.create(spec("0 * * * *", "UTC"), None, "user:ann").expect("made");
    world.record(at("2026-03-01T01:00:00Z"), again);
    assert_eq!(world.schedule.phase, Phase::Active);
    // It was made by a clock that had stepped back: what was dealt with stays so.
    assert_eq!(words(&world.settle(at("2026-03-01T03:00:00Z"))), ["fired 03:00"]);
}

#[test]
fn the_schedules_of_a_pipeline_follow_its_versions() {
    let triggers = |text: &str| {
        let file = format!(
            "dagbook: v1\nname: nightly\non:\n  schedule:\n{text}steps:\n  a: {{ run: \"true\" }}\n"
        );
        dag::parse(file.as_bytes(), "dag.yaml").spec.expect("a good file").triggers.schedule
    };
    let two = triggers("    - cron: \"0 1 * * *\"\n    - cron: \"0 2 * * *\"\n");
    let one = triggers("    - cron: \"30 1 * * *\"\n      timezone: Europe/Vienna\n");
    let now = at("2026-03-01T00:30:00Z");
    let mut existing: BTreeMap<String, Schedule> = BTreeMap::new();
    let take = |existing: &mut BTreeMap<String, Schedule>,
                changes: BTreeMap<String, Vec<ScheduleEvent>>| {
        use dagbook_events::aggregate::Aggregate;
        for (name, events) in &changes {
            let schedule = existing.entry(name.clone()).or_default();
            events.iter().for_each(|event| schedule.apply(now, event));
        }
        changes.keys().cloned().collect::<Vec<_>>()
    };
    let changes = owned_changes("nightly", &two, &existing, now, "user:ann").expect("made");
    assert_eq!(take(&mut existing, changes), ["nightly.1", "nightly.2"]);
    let refusal = existing["nightly.1"].delete(String::new(), now, "user:ann");
    assert_eq!(refusal, Err(ScheduleRefusal::Owned("nightly".to_string())));
    let pause = existing["nightly.1"].pause(String::new(), "user:ann").expect("paused");
    take(&mut existing, BTreeMap::from([("nightly.1".to_string(), vec![pause])]));

    let changes = owned_changes("nightly", &one, &existing, now, "user:ann").expect("changed");
    assert_eq!(take(&mut existing, changes), ["nightly.1", "nightly.2"]);
    assert_eq!(existing["nightly.1"].phase, Phase::Paused, "it stays paused");
    let spec = existing["nightly.1"].spec.clone().expect("a spec");
    assert_eq!((spec.cron.as_str(), spec.timezone.as_str()), ("30 1 * * *", "Europe/Vienna"));
    assert_eq!(existing["nightly.2"].phase, Phase::Deleted);
    assert!(owned_changes("nightly", &one, &existing, now, "u").expect("same").is_empty());

    let changes = owned_removals(&existing, now, "user:ann").expect("removed");
    assert_eq!(take(&mut existing, changes), ["nightly.1"]);
    assert!(existing.values().all(|schedule| schedule.phase == Phase::Deleted));
}

#[test]
fn names_of_streams_are_checked() {
    assert_eq!(Schedule::stream("nightly").expect("good").as_str(), "schedule/nightly");
    assert_eq!(Schedule::stream("nightly.2").expect("good").as_str(), "schedule/nightly.2");
    for bad in ["", "a/b", "A", "a.b", "a.0", ".1", "a b"] {
        assert!(Schedule::stream(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_firing_knows_whether_its_schedule_was_changed_behind_it_whatever_clocks_say() {
    let mut world = World::new(spec("0 * * * *", "UTC"), at("2026-03-01T00:30:00Z"));
    world.settle(at("2026-03-01T01:00:00Z"));
    let version = ScheduleSpec { version: Some(2), ..spec("0 * * * *", "UTC") };
    assert!(world.schedule.open.iter().all(|firing| !firing.changed_since));
    // Somebody's server whose clock is behind that of the one which fired.
    let behind = at("2026-03-01T00:59:58Z");
    let events = world.schedule.change(version, behind, "user:ann").expect("changed");
    world.record(behind, events);
    world.settle(at("2026-03-01T02:00:00Z"));
    let marks: Vec<bool> = world.schedule.open.iter().map(|it| it.changed_since).collect();
    assert_eq!(marks, [true, false]);
}
