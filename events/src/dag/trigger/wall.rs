//! From wall-clock times of the `cron` crate to instants of a zone.

use std::str::FromStr;

use chrono::{Datelike, TimeZone as _, Timelike};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// The wall-clock times of one translated expression, after a given one, in order.
pub(super) fn upcoming(
    expression: &cron::Schedule,
    after: DateTime,
) -> impl Iterator<Item = DateTime> {
    let from = as_if_utc(after).map(|start| expression.after_owned(start));
    from.into_iter().flatten().map_while(|at| from_utc(&at))
}

/// The parsed form of a translated expression.
pub(super) fn parse(expression: &str) -> Result<cron::Schedule, String> {
    cron::Schedule::from_str(expression).map_err(|error| error.to_string())
}

/// How a wall-clock time stands to the instants of its zone.
pub(super) enum Instants {
    /// It exists once.
    Once(jiff::Timestamp),
    /// It is skipped: the first instant after the gap.
    Gap(jiff::Timestamp),
    /// It comes twice.
    Fold(jiff::Timestamp, jiff::Timestamp),
}

pub(super) fn instants(zone: &TimeZone, wall: DateTime) -> Option<Instants> {
    let at = |offset: jiff::tz::Offset| offset.to_timestamp(wall).ok();
    Some(match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => Instants::Once(at(offset)?),
        AmbiguousOffset::Fold { before, after } => Instants::Fold(at(before)?, at(after)?),
        // Read with the offset from before the gap, the time lies after the change; the
        // change itself is the first instant that exists.
        AmbiguousOffset::Gap { before, .. } => {
            let beyond = at(before)?;
            let change = zone.preceding(beyond + jiff::SignedDuration::from_nanos(1)).next()?;
            Instants::Gap(change.timestamp())
        }
    })
}

fn as_if_utc(wall: DateTime) -> Option<chrono::DateTime<chrono::Utc>> {
    let unsigned = |n: i8| u32::try_from(n).ok();
    chrono::Utc
        .with_ymd_and_hms(
            i32::from(wall.year()),
            unsigned(wall.month())?,
            unsigned(wall.day())?,
            unsigned(wall.hour())?,
            unsigned(wall.minute())?,
            unsigned(wall.second())?,
        )
        .single()
}

fn from_utc(at: &chrono::DateTime<chrono::Utc>) -> Option<DateTime> {
    let small = |n: u32| i8::try_from(n).ok();
    DateTime::new(
        i16::try_from(at.year()).ok()?,
        small(at.month())?,
        small(at.day())?,
        small(at.hour())?,
        small(at.minute())?,
        small(at.second())?,
        0,
    )
    .ok()
}
