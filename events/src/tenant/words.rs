//! Texts that people give: bounded, and without what would break a line or a terminal.

use std::collections::BTreeMap;

use super::Refusal;
use super::settings::LABELS_MAX;

/// The longest name, in characters.
const NAME_MAX: usize = 100;
/// The longest reason, in characters.
const REASON_MAX: usize = 500;
/// The longest key or value of a label, in bytes.
const LABEL_MAX: usize = 63;

fn check(what: &str, text: &str, most: usize) -> Result<(), Refusal> {
    let count = text.chars().count();
    if count == 0 || count > most {
        return Err(Refusal::Invalid(format!(
            "{what} has 1 to {most} characters; {count} were given"
        )));
    }
    if text.chars().any(char::is_control) || text.trim() != text {
        return Err(Refusal::Invalid(format!(
            "{what} holds no control characters, and no blanks at its ends"
        )));
    }
    Ok(())
}

pub(super) fn check_name(what: &str, text: &str) -> Result<(), Refusal> {
    check(what, text, NAME_MAX)
}

pub(super) fn check_reason(text: Option<&str>) -> Result<(), Refusal> {
    text.map_or(Ok(()), |text| check("a reason", text, REASON_MAX))
}

pub(super) fn check_zone(name: &str) -> Result<(), Refusal> {
    if crate::dag::trigger::find_zone(name).is_ok() {
        return Ok(());
    }
    Err(Refusal::Invalid(format!(
        "`{}` is no time zone; give a name such as `Europe/Berlin` or `UTC`",
        name.chars().take(80).collect::<String>()
    )))
}

pub(super) fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if labels.len() > LABELS_MAX {
        return Err(Refusal::Invalid(format!(
            "a tenant has at most {LABELS_MAX} labels; {} were given",
            labels.len()
        )));
    }
    for (key, value) in labels {
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"_-./".contains(&c);
        let key_fits = !key.is_empty() && key.len() <= LABEL_MAX && key.bytes().all(plain);
        if !key_fits || value.len() > LABEL_MAX || value.chars().any(char::is_control) {
            let key: String = key.chars().take(LABEL_MAX).collect();
            return Err(Refusal::Invalid(format!(
                "the label `{key}` is not acceptable: a key matches [A-Za-z0-9_./-]{{1,63}}, a \
                 value has at most {LABEL_MAX} bytes and no control characters"
            )));
        }
    }
    Ok(())
}
