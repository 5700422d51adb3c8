//! A mapping with a fixed set of keys.

use crate::dag::codes;
use crate::dag::source::{Entry, Kind, Node, Span};
use crate::dag::suggest::{did_you_mean, nearest};

use super::Reader;

/// The members of a mapping whose keys are known.
pub(crate) struct Fields<'n> {
    entries: &'n [Entry],
    /// Keys that were reported as unknown.
    unknown: Vec<&'n str>,
    /// Where to point when something is missing.
    pub at: Span,
}

impl<'n> Fields<'n> {
    /// The member, if it is written.
    pub fn get(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Whether one of the keys is there under a wrong name, which has its own finding.
    pub fn misspelt(&self, keys: &[&str]) -> bool {
        self.unknown.iter().any(|key| nearest(key, keys.iter().copied()).is_some())
    }

    /// All members, in the order written.
    pub fn entries(&self) -> &'n [Entry] {
        self.entries
    }
}

impl Reader<'_, '_> {
    /// Opens a mapping; keys beyond `allowed` are reported, each with the nearest known one.
    pub fn fields<'n>(
        &mut self,
        entry: &'n Entry,
        what: &str,
        allowed: &[&str],
    ) -> Option<Fields<'n>> {
        let entries = self.map_entries(&entry.node, entry.at(), what)?;
        let unknown = self.unknown_keys(entries, what, allowed);
        Some(Fields { entries, unknown, at: entry.key_span })
    }

    /// The same for a node that has no key, such as an item of a list.
    pub fn fields_of_node<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        allowed: &[&str],
    ) -> Option<Fields<'n>> {
        let entries = self.map_entries(node, node.span, what)?;
        let unknown = self.unknown_keys(entries, what, allowed);
        Some(Fields { entries, unknown, at: node.span })
    }

    /// The members of a mapping with free keys.
    pub fn members<'n>(&mut self, entry: &'n Entry) -> Option<&'n [Entry]> {
        self.map_entries(&entry.node, entry.at(), &format!("`{}`", entry.key))
    }

    /// The required member.
    pub fn required<'n>(
        &mut self,
        fields: &Fields<'n>,
        key: &str,
        what: &str,
    ) -> Option<&'n Entry> {
        let found = fields.get(key);
        if found.is_none() && !fields.misspelt(&[key]) {
            let message = format!("{what} must have `{key}`");
            self.report.add(&codes::MISSING_KEY, fields.at, message);
        }
        found
    }

    fn map_entries<'n>(&mut self, node: &'n Node, at: Span, what: &str) -> Option<&'n [Entry]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            _ => {
                let message = format!("{what} must be a mapping, not {}", node.type_name());
                self.report.add(&codes::WRONG_TYPE, at, message);
                None
            }
        }
    }

    fn unknown_keys<'n>(
        &mut self,
        entries: &'n [Entry],
        what: &str,
        allowed: &[&str],
    ) -> Vec<&'n str> {
        let is_known = |entry: &&Entry| allowed.contains(&entry.key.as_str());
        let mut unknown = Vec::new();
        for entry in entries.iter().filter(|entry| !is_known(entry)) {
            unknown.push(entry.key.as_str());
            let message = format!("{what} has no key `{}`", shorten(&entry.key));
            let known = allowed.iter().copied();
            let hint = match nearest(&entry.key, known.clone()) {
                Some(_) => did_you_mean(&entry.key, known),
                None => Some(format!("known keys: {}", allowed.join(", "))),
            };
            self.report.add(&codes::UNKNOWN_KEY, entry.key_span, message).maybe_hint(hint);
        }
        unknown
    }
}

/// Text for a message: printable, at most 60 characters.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String =
        text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > 60 {
        short.push('…');
    }
    short
}
