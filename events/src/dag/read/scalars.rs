//! Simple values: text, numbers, booleans, words of a list, durations, sizes.

use std::rc::Rc;

use crate::dag::codes;
use crate::dag::source::{Entry, Kind, Node, Scalar, Span, Typed};
use crate::dag::suggest::did_you_mean;
use crate::time::Millis;

use super::Reader;
use super::fields::shorten;
use super::units;

impl Reader<'_, '_> {
    pub fn wrong_type(&mut self, entry: &Entry, expected: &str) {
        let message =
            format!("`{}` must be {expected}, not {}", shorten(&entry.key), entry.node.type_name());
        self.report.add(&codes::WRONG_TYPE, entry.at(), message);
    }

    /// A scalar that says something.
    pub fn scalar<'n>(&mut self, entry: &'n Entry, expected: &str) -> Option<&'n Scalar> {
        match entry.node.as_scalar() {
            Some(scalar) if !entry.node.is_null() => Some(scalar),
            _ => {
                self.wrong_type(entry, expected);
                None
            }
        }
    }

    /// Text exactly as written: `no` and `1.10` are words where a word is wanted.
    pub fn text(&mut self, entry: &Entry) -> Option<String> {
        let text = self.scalar(entry, "text")?.text.clone();
        self.no_expression(&text, entry.node.span, &entry.key).then_some(text)
    }

    /// Text that says something.
    pub fn word(&mut self, entry: &Entry) -> Option<String> {
        let text = self.text(entry)?;
        if text.trim().is_empty() {
            let message = format!("`{}` is empty", shorten(&entry.key));
            self.report.add(&codes::NOTHING_IN_IT, entry.at(), message);
            return None;
        }
        Some(text)
    }

    pub fn boolean(&mut self, entry: &Entry) -> Option<bool> {
        let scalar = self.scalar(entry, "true or false")?;
        if let Typed::Bool(b) = scalar.typed() {
            return Some(b);
        }
        let message = format!(
            "`{}` must be true or false, not `{}`",
            shorten(&entry.key),
            shorten(&scalar.text)
        );
        let hint = match scalar.text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write `true`".to_string()),
            "no" | "off" | "n" | "false" => Some("write `false`".to_string()),
            _ => None,
        };
        self.report.add(&codes::WRONG_TYPE, entry.at(), message).maybe_hint(hint);
        None
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, entry: &Entry, minimum: i64, maximum: i64) -> Option<i64> {
        let expected = format!("a whole number from {minimum} to {maximum}");
        let scalar = self.scalar(entry, &expected)?;
        match scalar.typed() {
            Typed::Int(n) if (minimum..=maximum).contains(&n) => Some(n),
            Typed::Int(_) | Typed::TooBig => {
                let message = format!(
                    "`{}` must be {expected}, not {}",
                    shorten(&entry.key),
                    shorten(&scalar.text)
                );
                self.report.add(&codes::OUT_OF_RANGE, entry.at(), message);
                None
            }
            _ => {
                self.wrong_type(entry, &expected);
                None
            }
        }
    }

    /// The same as an unsigned number.
    pub fn count(&mut self, entry: &Entry, minimum: u32, maximum: u32) -> Option<u32> {
        let n = self.integer(entry, i64::from(minimum), i64::from(maximum))?;
        u32::try_from(n).ok()
    }

    /// One of some words.
    pub fn choice<T: Copy>(&mut self, entry: &Entry, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let listed = format!("one of {}", words.join(", "));
        let text = self.scalar(entry, &listed)?.text.clone();
        self.choose(&entry.key, &text, entry.at(), choices)
    }

    pub fn choose<T: Copy>(
        &mut self,
        key: &str,
        text: &str,
        at: Span,
        choices: &[(&str, T)],
    ) -> Option<T> {
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let message =
            format!("`{key}` must be one of {}, not `{}`", words.join(", "), shorten(text));
        let hint = did_you_mean(text, words);
        self.report.add(&codes::NOT_A_CHOICE, at, message).maybe_hint(hint);
        None
    }

    pub fn duration(&mut self, entry: &Entry) -> Option<Millis> {
        let scalar = self.scalar(entry, "a duration such as `90s` or `2h`")?;
        match units::duration(&scalar.text) {
            Ok(span) => Some(span),
            Err(reason) => {
                let message = format!(
                    "`{}` is not a duration: `{}` {reason}",
                    shorten(&entry.key),
                    shorten(&scalar.text)
                );
                self.report
                    .add(&codes::BAD_DURATION, entry.at(), message)
                    .hint("write a number and a unit: `500ms`, `90s`, `15m`, `2h`, `7d`");
                None
            }
        }
    }

    pub fn size(&mut self, entry: &Entry) -> Option<u64> {
        let scalar = self.scalar(entry, "a size such as `4Gi`")?;
        match units::size(&scalar.text) {
            Ok(bytes) => Some(bytes),
            Err(reason) => {
                let message = format!(
                    "`{}` is not a size: `{}` {reason}",
                    shorten(&entry.key),
                    shorten(&scalar.text)
                );
                self.report
                    .add(&codes::BAD_SIZE, entry.at(), message)
                    .hint("write a number and a unit: `512Mi`, `4Gi`, `1T`");
                None
            }
        }
    }

    /// The items of a list; with `one_or_many`, a single value stands for a list of one.
    pub fn items<'n>(&mut self, entry: &'n Entry, one_or_many: bool) -> Option<Vec<&'n Rc<Node>>> {
        match &entry.node.kind {
            Kind::List(items) => Some(items.iter().collect()),
            Kind::Scalar(_) if one_or_many && !entry.node.is_null() => Some(vec![&entry.node]),
            _ => {
                let expected = if one_or_many { "text or a list" } else { "a list" };
                self.wrong_type(entry, expected);
                None
            }
        }
    }

    /// Texts of a list, each with its place. Bad items are reported and left out.
    pub fn words(&mut self, entry: &Entry) -> Option<Vec<(String, Span)>> {
        let items = self.items(entry, true)?;
        let mut words = Vec::with_capacity(items.len());
        for item in items {
            match item.as_scalar().filter(|_| !item.is_null()) {
                Some(scalar) if self.no_expression(&scalar.text, item.span, &entry.key) => {
                    words.push((scalar.text.clone(), item.span));
                }
                Some(_) => {}
                None => {
                    let message =
                        format!("`{}` must hold text, not {}", entry.key, item.type_name());
                    self.report.add(&codes::WRONG_TYPE, item.span, message);
                }
            }
        }
        Some(words)
    }

    /// Texts of a list that must not be empty.
    pub fn some_words(&mut self, entry: &Entry) -> Option<Vec<String>> {
        let words = self.words(entry)?;
        if words.is_empty() && matches!(&entry.node.kind, Kind::List(items) if items.is_empty()) {
            let message = format!("`{}` is empty", entry.key);
            self.report.add(&codes::NOTHING_IN_IT, entry.at(), message);
        }
        Some(words.into_iter().map(|(word, _)| word).collect())
    }
}
