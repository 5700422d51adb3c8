//! Collects findings of one file.

use crate::dag::codes::{self, Code};
use crate::dag::finding::Finding;
use crate::dag::suggest::did_you_mean;

use super::node::Span;
use super::text::SourceText;

/// Findings shown at most; a file of 100,000 mistakes is one mistake.
const MOST: usize = 1_000;

/// The findings of one file so far.
pub(crate) struct Report<'s> {
    source: &'s SourceText<'s>,
    findings: Vec<Finding>,
}

/// A finding just added, to which a hint can be given.
pub(crate) struct Added<'r>(Option<&'r mut Finding>);

impl Added<'_> {
    pub fn hint(self, hint: impl Into<String>) {
        self.maybe_hint(Some(hint.into()));
    }

    pub fn maybe_hint(self, hint: Option<String>) {
        if let Some(finding) = self.0 {
            finding.hint = hint.map(printable);
        }
    }
}

impl<'s> Report<'s> {
    pub fn new(source: &'s SourceText<'s>) -> Self {
        Self { source, findings: Vec::new() }
    }

    pub fn source(&self) -> &'s SourceText<'s> {
        self.source
    }

    /// Adds a finding at a place of the file.
    pub fn add(
        &mut self,
        code: &'static Code,
        span: Span,
        message: impl Into<String>,
    ) -> Added<'_> {
        if self.findings.len() > MOST {
            return Added(None);
        }
        let full = self.findings.len() == MOST;
        let (code, message) = match full {
            true => (&codes::TOO_MANY_FINDINGS, "more findings than can be shown".to_string()),
            false => (code, message.into()),
        };
        let span = self.source.on_one_line(span);
        let (line, column) = self.source.position(span.start);
        self.findings.push(Finding {
            code: code.id,
            severity: code.severity(),
            file: self.source.path.to_string(),
            line,
            column,
            span: span.start..span.end,
            message: printable(message),
            hint: None,
        });
        if full { Added(None) } else { Added(self.findings.last_mut()) }
    }

    /// `did you mean …?`, while there are few findings: in a file where hundreds of names are
    /// wrong, the search would cost more than the hints are worth.
    pub fn suggest<'c>(
        &self,
        word: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<String> {
        if self.findings.len() < 100 { did_you_mean(word, candidates) } else { None }
    }

    /// Whether nothing more will be shown, so that looking on would be for nothing.
    pub fn is_full(&self) -> bool {
        self.findings.len() > MOST
    }

    /// Whether there is an error among them.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(Finding::is_error)
    }

    /// All findings by place in the file.
    pub fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| (finding.span.start, finding.code));
        self.findings.dedup();
        self.findings
    }
}

/// Names in messages come from the file: nothing that a terminal would obey may stay.
fn printable(text: String) -> String {
    if text.chars().any(char::is_control) {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    } else {
        text
    }
}
