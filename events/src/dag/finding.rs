//! Findings: what is wrong with a file, where, and what to do about it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::plan::SourceBundle;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; its author will want to know.
    Warning,
}

/// One thing that is wrong in a DAG file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `E101`, see [`super::codes::ALL`].
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// The file, as the bundle names it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// Bytes of the file that it is about; never beyond the end of their first line.
    pub span: Range<usize>,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
}

impl Finding {
    /// Whether it keeps the file from being used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// `file:line:column: E101: message`.
    pub fn one_line(&self) -> String {
        let Self { file, line, column, code, message, .. } = self;
        format!("{file}:{line}:{column}: {code}: {message}")
    }
}

/// A finding as `--output json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingDto {
    /// `E101`.
    pub code: String,
    /// `error` or `warning`.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
}

impl From<&Finding> for FindingDto {
    fn from(finding: &Finding) -> Self {
        Self {
            code: finding.code.to_string(),
            severity: finding.severity,
            file: finding.file.clone(),
            line: finding.line,
            column: finding.column,
            start: finding.span.start,
            end: finding.span.end,
            message: finding.message.clone(),
            hint: finding.hint.clone(),
        }
    }
}

/// Draws findings with the lines they are about, as a compiler does.
///
/// Ends with an empty line after each; `coloured` adds ANSI escapes. Control characters of
/// the source never reach the output.
pub fn render(findings: &[Finding], sources: &SourceBundle, coloured: bool) -> String {
    use annotate_snippets::Renderer;
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for finding in findings {
        let source = sources.files.get(&finding.file).map_or("", String::as_str);
        out.push_str(&render_one(finding, source, &renderer));
        out.push_str("\n\n");
    }
    out
}

fn render_one(finding: &Finding, source: &str, renderer: &annotate_snippets::Renderer) -> String {
    use annotate_snippets::{AnnotationKind, Level, Origin, Snippet};
    let level = if finding.is_error() { Level::ERROR } else { Level::WARNING };
    let title = level.primary_title(finding.message.as_str()).id(finding.code);
    let (line_text, start) = line_around(source, finding.span.start);
    let mut group = title.elements([] as [annotate_snippets::Message<'_>; 0]);
    if line_text.is_empty() {
        let origin = Origin::path(finding.file.as_str())
            .line(finding.line as usize)
            .char_column(finding.column as usize);
        group = group.element(origin);
    } else {
        let from = finding.span.start - start;
        let to = (finding.span.end.max(finding.span.start) - start).min(line_text.len());
        let snippet = Snippet::source(line_text)
            .line_start(finding.line as usize)
            .path(finding.file.as_str())
            .annotation(AnnotationKind::Primary.span(from.min(to)..to));
        group = group.element(snippet);
    }
    if let Some(hint) = &finding.hint {
        group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
    }
    renderer.render(&[group])
}

/// The line that holds a byte, cut to a readable length, and where it starts.
fn line_around(source: &str, at: usize) -> (&str, usize) {
    const WIDEST: usize = 4_000;
    if at > source.len() || !source.is_char_boundary(at) {
        return ("", 0);
    }
    let start = source[..at].rfind('\n').map_or(0, |i| i + 1);
    let end = source[at..].find('\n').map_or(source.len(), |i| at + i);
    if end - start > WIDEST {
        return ("", 0);
    }
    (source[start..end].trim_end_matches('\r'), start)
}
