//! Schedules that belong to a pipeline: one for each entry of its `on: schedule`, by its place.

use std::collections::BTreeMap;

use super::commands::ScheduleRefusal;
use super::event::ScheduleEvent;
use super::spec::ScheduleSpec;
use super::state::Schedule;
use crate::dag::trigger::ScheduleTrigger;
use crate::time::Timestamp;

/// The name of the schedule of a pipeline's entry, from 1. No name that a person may choose has
/// a dot.
pub fn owned_name(pipeline: &str, entry: u32) -> String {
    format!("{pipeline}.{entry}")
}

/// What happens to a pipeline's schedules when a version with these entries is registered:
/// events by the schedule's name. `existing` are the folds of all that it ever had. One that is
/// paused stays so.
pub fn owned_changes(
    pipeline: &str,
    triggers: &[ScheduleTrigger],
    existing: &BTreeMap<String, Schedule>,
    now: Timestamp,
    by: &str,
) -> Result<BTreeMap<String, Vec<ScheduleEvent>>, ScheduleRefusal> {
    let mut changes = BTreeMap::new();
    let unborn = Schedule::default();
    let mut wanted = Vec::new();
    for (trigger, entry) in triggers.iter().zip(1u32..) {
        let name = owned_name(pipeline, entry);
        let spec = ScheduleSpec::of_trigger(pipeline, trigger);
        let before = existing.get(&name).unwrap_or(&unborn);
        let events = match before.is_alive() {
            true => before.change_owned(spec, now, by)?,
            false => before.create(spec, Some(pipeline.to_string()), by)?,
        };
        wanted.push(name.clone());
        if !events.is_empty() {
            changes.insert(name, events);
        }
    }
    for (name, before) in existing.iter().filter(|(name, _)| !wanted.contains(name)) {
        if before.is_alive() {
            let comment = "the pipeline no longer has it".to_string();
            changes.insert(name.clone(), before.delete_owned(comment, now, by)?);
        }
    }
    Ok(changes)
}

/// What happens to a pipeline's schedules when it is archived.
pub fn owned_removals(
    existing: &BTreeMap<String, Schedule>,
    now: Timestamp,
    by: &str,
) -> Result<BTreeMap<String, Vec<ScheduleEvent>>, ScheduleRefusal> {
    let alive = existing.iter().filter(|(_, schedule)| schedule.is_alive());
    alive
        .map(|(name, schedule)| {
            let comment = "the pipeline is archived".to_string();
            Ok((name.clone(), schedule.delete_owned(comment, now, by)?))
        })
        .collect()
}
