//! Names that authors give to things.

use crate::dag::codes;
use crate::dag::source::Entry;
use crate::ids::StepName;

use super::Reader;
use super::fields::shorten;

impl Reader<'_, '_> {
    pub fn step_name(&mut self, entry: &Entry) -> Option<StepName> {
        StepName::new(&entry.key)
            .map_err(|_| {
                self.bad_name(entry, "step", "[A-Za-z_][A-Za-z0-9_-]{0,62}");
            })
            .ok()
    }

    /// A name that expressions read with a dot: letters, digits and `_`.
    pub fn identifier(&mut self, entry: &Entry, what: &str) -> Option<String> {
        let good = is_identifier(&entry.key);
        if !good {
            self.bad_name(entry, what, "[A-Za-z_][A-Za-z0-9_]{0,62}");
        }
        good.then(|| entry.key.clone())
    }

    /// The same, and `-` too: names that only steps and artifacts have.
    pub fn artifact_name(&mut self, entry: &Entry) -> Option<String> {
        let good = StepName::new(&entry.key).is_ok();
        if !good {
            self.bad_name(entry, "artifact", "[A-Za-z_][A-Za-z0-9_-]{0,62}");
        }
        good.then(|| entry.key.clone())
    }

    /// The name of an environment variable that an author may set.
    pub fn variable(&mut self, entry: &Entry) -> Option<String> {
        let shaped = is_identifier(&entry.key) || (entry.key.len() > 63 && long(&entry.key));
        if !shaped {
            let message = format!("`{}` cannot name a variable", shorten(&entry.key));
            self.report
                .add(&codes::BAD_VARIABLE, entry.key_span, message)
                .hint("use letters, digits and `_`, not starting with a digit");
            return None;
        }
        if entry.key.starts_with("DAGBOOK_") {
            let message = format!("`{}` belongs to dagbook", shorten(&entry.key));
            self.report
                .add(&codes::BAD_VARIABLE, entry.key_span, message)
                .hint("choose a name that does not start with `DAGBOOK_`");
            return None;
        }
        Some(entry.key.clone())
    }

    fn bad_name(&mut self, entry: &Entry, what: &str, rule: &str) {
        let message =
            format!("`{}` is not a {what} name: it must match {rule}", shorten(&entry.key));
        let better: String =
            entry.key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let hint = is_identifier(&better).then(|| format!("write `{better}`"));
        self.report.add(&codes::BAD_NAME, entry.key_span, message).maybe_hint(hint);
    }
}

pub(crate) fn is_identifier(text: &str) -> bool {
    text.len() <= 63 && long(text)
}

fn long(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == b'_')
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}
