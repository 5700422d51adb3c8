//! The text of a file: checked, and with a way from bytes to lines and columns.

use crate::dag::codes;
use crate::dag::finding::Finding;

use super::node::Span;
use super::report::Report;

/// Largest file.
pub(crate) const MAX_FILE_BYTES: usize = 1 << 20;

/// The text of one file.
pub(crate) struct SourceText<'a> {
    pub path: &'a str,
    pub text: &'a str,
    line_starts: Vec<usize>,
    /// Characters before each multiple of [`STRIDE`] bytes: a file may be one long line.
    characters: Vec<usize>,
}

const STRIDE: usize = 256;

const BOM: char = '\u{feff}';

impl<'a> SourceText<'a> {
    pub fn new(path: &'a str, text: &'a str) -> Self {
        let starts_character = |c: &u8| (*c & 0xc0) != 0x80;
        let counts = text.as_bytes().chunks(STRIDE).scan(0, |sum, chunk| {
            let before = *sum;
            *sum += chunk.iter().filter(|c| starts_character(c)).count();
            Some(before)
        });
        let characters = counts.collect();
        let newlines = text.bytes().enumerate().filter(|(_, c)| *c == b'\n').map(|(i, _)| i + 1);
        let line_starts = std::iter::once(0).chain(newlines).collect();
        Self { path, text, line_starts, characters }
    }

    /// Line and column, both from 1, the column in characters.
    pub fn position(&self, at: usize) -> (u32, u32) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let line = self.line_starts.partition_point(|start| *start <= at) - 1;
        let start = self.line_starts[line];
        let mark = usize::from(start == 0 && at > 0 && self.bom_bytes() > 0);
        let column = self.characters_before(at) - self.characters_before(start) - mark + 1;
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (narrow(line + 1), narrow(column))
    }

    fn characters_before(&self, at: usize) -> usize {
        match self.characters.get(at / STRIDE) {
            Some(before) => {
                let from = at / STRIDE * STRIDE;
                let rest = &self.text.as_bytes()[from..at];
                before + rest.iter().filter(|c| (**c & 0xc0) != 0x80).count()
            }
            // The end of a text whose last stride is full.
            None => self.text.chars().count(),
        }
    }

    /// The span in whole characters, ending where its first line ends.
    pub fn on_one_line(&self, span: Span) -> Span {
        let edge = |at: usize| self.text.is_char_boundary(at);
        let mut start = span.start.min(self.text.len());
        while !edge(start) {
            start -= 1;
        }
        let mut end = span.end.clamp(start, self.text.len());
        while !edge(end) {
            end += 1;
        }
        let cut = self.text.as_bytes()[start..end].iter().position(|c| *c == b'\n' || *c == b'\r');
        Span { start, end: cut.map_or(end, |n| start + n) }
    }

    /// Bytes of the mark at the start, which the parser must not see.
    pub fn bom_bytes(&self) -> usize {
        if self.text.starts_with(BOM) { BOM.len_utf8() } else { 0 }
    }

    /// Reports what is wrong with the text as such. False: there is no use in parsing it.
    pub fn check(&self, report: &mut Report<'_>) -> bool {
        if self.text.len() > MAX_FILE_BYTES {
            too_large(self.text.len(), report);
            return false;
        }
        if self.bom_bytes() > 0 {
            let span = Span { start: 0, end: self.bom_bytes() };
            report.add(&codes::BOM, span, "the file starts with a byte order mark");
        }
        if let Some(at) = self.text.find("\r\n") {
            let span = Span { start: at, end: at };
            report
                .add(&codes::CRLF, span, "lines end with CRLF")
                .hint("save the file with LF line ends; scripts in it get LF in any case");
        }
        let bad = |c: char| {
            (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) || c == '\u{fffe}'
        };
        match self.text.char_indices().find(|(_, c)| bad(*c)) {
            None => true,
            Some((start, c)) => {
                let name = if c == '\0' { "NUL".into() } else { format!("U+{:04X}", c as u32) };
                report
                    .add(
                        &codes::CONTROL_CHARACTER,
                        Span { start, end: start + c.len_utf8() },
                        format!("a {name} character"),
                    )
                    .hint("remove it; inside double quotes it can be written as `\\u0000`");
                false
            }
        }
    }
}

fn too_large(bytes: usize, report: &mut Report<'_>) {
    let message = format!("the file has {bytes} bytes; at most {MAX_FILE_BYTES} (1 MiB) are read");
    report
        .add(&codes::TOO_LARGE, Span::default(), message)
        .hint("move data out of the file, or generate the work with `for_each`");
}

/// Turns bytes into text, or says what is wrong with them.
pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<String, Vec<Finding>> {
    if bytes.len() > MAX_FILE_BYTES {
        let source = SourceText::new(path, "");
        let mut report = Report::new(&source);
        too_large(bytes.len(), &mut report);
        return Err(report.into_findings());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_string()),
        Err(error) => {
            let good = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            let source = SourceText::new(path, good);
            let mut report = Report::new(&source);
            let at = error.valid_up_to();
            let message = format!("byte 0x{:02X} is not UTF-8", bytes[at]);
            let finding = report.add(&codes::NOT_UTF8, Span { start: at, end: at }, message);
            if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
                finding.hint("this is UTF-16: save the file as UTF-8");
            } else {
                finding.hint("save the file as UTF-8");
            }
            Err(report.into_findings())
        }
    }
}
