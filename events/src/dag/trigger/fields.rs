//! The five fields of crontab(5), translated for the `cron` crate.
//!
//! That crate wants seconds, counts weekdays from 1 = Sunday, and lets a restricted day of
//! the month and a restricted weekday mean *both*; crontab means *either*.

/// What is wrong with a cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(pub String);

/// A translated expression.
pub(super) struct Translated {
    /// One expression of the crate, or two that mean *either*.
    pub expressions: Vec<String>,
    /// The hour or minute runs by elapsed time: `*` or `*/n` in the hour field.
    pub elapsed_hours: bool,
}

struct Field {
    name: &'static str,
    minimum: u32,
    maximum: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", minimum: 0, maximum: 59, names: &[] },
    Field { name: "hour", minimum: 0, maximum: 23, names: &[] },
    Field { name: "day of the month", minimum: 1, maximum: 31, names: &[] },
    Field { name: "month", minimum: 1, maximum: 12, names: &MONTHS },
    Field { name: "day of the week", minimum: 0, maximum: 7, names: &DAYS },
];

pub(super) fn translate(text: &str) -> Result<Translated, CronError> {
    let text = text.trim();
    let plain = match text.strip_prefix('@') {
        Some(_) => shorthand(text)?,
        None => text,
    };
    let parts: Vec<&str> = plain.split_ascii_whitespace().collect();
    if parts.len() != 5 {
        let message = format!(
            "a cron expression has five fields (minute hour day month weekday), this has {}",
            parts.len()
        );
        return Err(CronError(message));
    }
    let mut values: Vec<Vec<u32>> = Vec::with_capacity(5);
    for (part, field) in parts.iter().zip(&FIELDS) {
        values.push(expand(part, field)?);
    }
    let days = &mut values[4];
    days.iter_mut().for_each(|day| *day %= 7);
    days.sort_unstable();
    days.dedup();
    never(&values, parts[2], parts[4])?;
    Ok(Translated {
        expressions: expressions(&parts, &values),
        elapsed_hours: parts[1].starts_with('*'),
    })
}

fn shorthand(text: &str) -> Result<&'static str, CronError> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => {
            let message = "known names are @hourly, @daily, @weekly, @monthly, @yearly";
            return Err(CronError(message.into()));
        }
    })
}

fn expressions(parts: &[&str], values: &[Vec<u32>]) -> Vec<String> {
    let list = |values: &[u32]| -> String {
        values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    let field = |i: usize| if parts[i] == "*" { "*".to_string() } else { list(&values[i]) };
    let weekdays = || {
        let names: Vec<&str> = values[4].iter().map(|day| DAYS[*day as usize % 7]).collect();
        names.join(",")
    };
    let whole = |day: &str, weekday: &str| {
        format!("0 {} {} {day} {} {weekday}", field(0), field(1), field(3))
    };
    // As in crontab(5): a field that starts with `*` is not restricted.
    let (by_day, by_weekday) = (!parts[2].starts_with('*'), !parts[4].starts_with('*'));
    match (by_day, by_weekday) {
        (true, true) => vec![whole(&field(2), "*"), whole("*", &weekdays())],
        _ => {
            let weekday = if parts[4] == "*" { "*".to_string() } else { weekdays() };
            vec![whole(&field(2), &weekday)]
        }
    }
}

fn expand(part: &str, field: &Field) -> Result<Vec<u32>, CronError> {
    let mut values = Vec::new();
    for item in part.split(',') {
        item_values(item, field, &mut values)?;
    }
    values.sort_unstable();
    values.dedup();
    Ok(values)
}

fn item_values(item: &str, field: &Field, values: &mut Vec<u32>) -> Result<(), CronError> {
    let (range, step) = match item.split_once('/') {
        None => (item, None),
        Some((range, step)) => (range, Some(step)),
    };
    let (low, high) = match range.split_once('-') {
        _ if range == "*" => {
            (field.minimum, field.maximum.min(if field.maximum == 7 { 6 } else { field.maximum }))
        }
        Some((low, high)) => (value(low, field)?, value(high, field)?),
        None => {
            let low = value(range, field)?;
            (low, if step.is_some() { field.maximum } else { low })
        }
    };
    if low > high {
        let message = format!("the {} range `{range}` runs backwards", field.name);
        return Err(CronError(message));
    }
    let step = match step {
        None => 1,
        Some(step) => step
            .parse::<u32>()
            .ok()
            .filter(|n| (1..=field.maximum.max(1)).contains(n) && step.len() <= 2)
            .ok_or_else(|| CronError(format!("the {} step `/{step}` is not usable", field.name)))?,
    };
    values.extend((low..=high).step_by(step as usize));
    Ok(())
}

fn value(text: &str, field: &Field) -> Result<u32, CronError> {
    let lower = text.to_ascii_lowercase();
    if let Some(at) = field.names.iter().position(|name| *name == lower) {
        return Ok(u32::try_from(at).unwrap_or(0) + field.minimum);
    }
    let digits = !text.is_empty() && text.len() <= 2 && text.bytes().all(|c| c.is_ascii_digit());
    let number = digits.then(|| text.parse::<u32>().ok()).flatten();
    match number {
        Some(n) if (field.minimum..=field.maximum).contains(&n) => Ok(n),
        Some(n) => Err(CronError(format!(
            "the {} must be from {} to {}, not {n}",
            field.name, field.minimum, field.maximum
        ))),
        None => {
            let shown: String = text.chars().take(20).collect();
            Err(CronError(format!("`{shown}` is not a {}", field.name)))
        }
    }
}

/// Days that no month of the expression has: such a schedule would never fire.
fn never(values: &[Vec<u32>], day: &str, weekday: &str) -> Result<(), CronError> {
    const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let either = !day.starts_with('*') && !weekday.starts_with('*');
    let possible = values[3].iter().any(|month| {
        let longest = LONGEST[(*month as usize).clamp(1, 12) - 1];
        values[2].iter().any(|day| *day <= longest)
    });
    if possible || either {
        return Ok(());
    }
    Err(CronError("it never fires: no such day exists in those months".into()))
}
