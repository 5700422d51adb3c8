//! Where periods begin and end: months and weeks of a zone, and what follows what. An instant is
//! computed once, when its period is opened; the zone database may change later, the record not.

use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::tz::TimeZone;

use super::{PeriodKind, PeriodOpened};
use crate::dag::trigger::find_zone;
use crate::time::Timestamp;

/// A period before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// What it is called.
    pub name: String,
    /// How it was cut.
    pub kind: PeriodKind,
    /// From this instant on.
    pub start: Timestamp,
    /// To before this one.
    pub end: Timestamp,
    /// The zone.
    pub zone: String,
}

/// Why there is no such period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// The zone is unknown.
    #[error("there is no time zone `{0}`; give a name such as `Europe/Berlin` or `UTC`")]
    Zone(String),
    /// The name says neither a month nor a week.
    #[error("`{0}` is neither a month such as `2026-11` nor a week such as `2026-W47`")]
    Name(String),
    /// It lies where no calendar reaches.
    #[error("the period `{0}` lies outside the calendar")]
    Beyond(String),
}

fn zone(name: &str) -> Result<TimeZone, CutError> {
    find_zone(name).map_err(|_| CutError::Zone(name.chars().take(80).collect()))
}

/// The first instant of a day. Where the day or its first hour is skipped, that is the first
/// instant behind the gap; where midnight comes twice, the first of them.
fn first_instant(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let start = date.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
    Some(Timestamp(start.timestamp().as_millisecond()))
}

/// A month or a week by its name.
enum Named {
    Month(Date),
    Week(ISOWeekDate),
}

impl Named {
    fn read(text: &str) -> Option<Self> {
        let (year, rest) = text.split_once('-')?;
        let digits =
            |text: &str, n: usize| text.len() == n && text.bytes().all(|c| c.is_ascii_digit());
        if !digits(year, 4) {
            return None;
        }
        let year: i16 = year.parse().ok()?;
        match rest.strip_prefix('W') {
            Some(week) if digits(week, 2) => {
                ISOWeekDate::new(year, week.parse().ok()?, Weekday::Monday).ok().map(Self::Week)
            }
            None if digits(rest, 2) => Date::new(year, rest.parse().ok()?, 1).ok().map(Self::Month),
            _ => None,
        }
    }

    fn first(&self) -> Date {
        match self {
            Self::Month(first) => *first,
            Self::Week(monday) => monday.date(),
        }
    }

    fn next(&self) -> Option<Self> {
        let span = match self {
            Self::Month(_) => jiff::Span::new().months(1),
            Self::Week(_) => jiff::Span::new().weeks(1),
        };
        let first = self.first().checked_add(span).ok()?;
        Some(match self {
            Self::Month(_) => Self::Month(first),
            Self::Week(_) => Self::Week(first.iso_week_date()),
        })
    }

    fn name(&self) -> String {
        match self {
            Self::Month(first) => format!("{:04}-{:02}", first.year(), first.month()),
            Self::Week(monday) => format!("{:04}-W{:02}", monday.year(), monday.week()),
        }
    }

    fn kind(&self) -> PeriodKind {
        match self {
            Self::Month(_) => PeriodKind::Month,
            Self::Week(_) => PeriodKind::Week,
        }
    }

    fn cut(&self, zone_name: &str) -> Result<Cut, CutError> {
        let zone = zone(zone_name)?;
        let beyond = || CutError::Beyond(self.name());
        let next = self.next().ok_or_else(beyond)?;
        Ok(Cut {
            name: self.name(),
            kind: self.kind(),
            start: first_instant(self.first(), &zone).ok_or_else(beyond)?,
            end: first_instant(next.first(), &zone).ok_or_else(beyond)?,
            zone: zone_name.to_string(),
        })
    }
}

/// The month `2026-11` or the ISO week `2026-W47` in a zone.
///
/// # Errors
/// Where there is no such period, or no such zone.
pub fn period_named(name: &str, zone: &str) -> Result<Cut, CutError> {
    let short = || name.chars().take(80).collect::<String>();
    Named::read(name).ok_or_else(|| CutError::Name(short()))?.cut(zone)
}

/// The month that an instant lies in.
///
/// # Errors
/// As [`period_named`].
pub fn month_around(at: Timestamp, zone_name: &str) -> Result<Cut, CutError> {
    Named::Month(date_of(at, &zone(zone_name)?)?.first_of_month()).cut(zone_name)
}

fn date_of(at: Timestamp, zone: &TimeZone) -> Result<Date, CutError> {
    let instant =
        jiff::Timestamp::from_millisecond(at.0).map_err(|_| CutError::Beyond(at.to_string()))?;
    Ok(zone.to_datetime(instant).date())
}

/// The period behind another: the next month or week; behind one that somebody cut, the rest of
/// its month. It begins where the other ends, whatever the zone database says today.
///
/// # Errors
/// As [`period_named`].
pub fn next_period(last: &PeriodOpened) -> Result<Cut, CutError> {
    if last.kind != PeriodKind::Custom
        && let Some(next) = Named::read(&last.period).and_then(|named| named.next())
    {
        let cut = next.cut(&last.zone)?;
        return Ok(Cut { start: last.end, ..cut });
    }
    let month = month_around(last.end, &last.zone)?;
    if month.start == last.end {
        return Ok(month);
    }
    let day = date_of(last.end, &zone(&last.zone)?)?.day();
    let name = format!("{}-from-{day:02}", month.name);
    Ok(Cut { name, kind: PeriodKind::Custom, start: last.end, ..month })
}
