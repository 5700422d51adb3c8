//! How results are printed: tables, colours, JSON.

use std::io::Write;

use anstyle::{AnsiColor, Reset, Style};
use comfy_table::{Cell, CellAlignment, Table as Drawn, presets};
use serde::Serialize;

use super::CliError;

/// `error:`.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// `hint:`.
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// Headings.
pub const STRONG: Style = Style::new().bold();
/// What matters less.
pub const FAINT: Style = Style::new().dimmed();
/// It went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// It did not.
pub const BAD: Style = AnsiColor::Red.on_default();
/// It goes on, or waits.
pub const BUSY: Style = AnsiColor::Yellow.on_default();
/// Ends any of them.
pub const RESET: Reset = Reset;

/// Prints text as it is; escapes are dropped where they are not wanted.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Prints bytes as they are, whatever they are.
pub fn raw(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes)?;
    Ok(stdout.flush()?)
}

/// Prints bytes that hold escapes of ours; escapes are dropped where they are not wanted.
pub fn bytes_with_escapes(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(bytes)?;
    Ok(stdout.flush()?)
}

/// Prints one JSON document.
pub fn json(value: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|e| CliError::failed(format!("the result cannot be written as JSON: {e}")))?;
    text.push(b'\n');
    raw(&text)
}

/// The colour that a status has everywhere.
pub fn status_style(status: &str) -> Style {
    match status {
        "succeeded" | "ok" => GOOD,
        "failed" | "rejected" | "broken" | "damaged" => BAD,
        "skipped" | "waiting" | "canceled" => FAINT,
        _ => BUSY,
    }
}

/// A sign before a status, so that it can be told without colour.
pub fn status_sign(status: &str) -> &'static str {
    match status {
        "succeeded" | "ok" => "✓",
        "failed" | "rejected" | "broken" | "damaged" => "✗",
        "skipped" | "canceled" => "–",
        "waiting" | "ready" | "queued" => "·",
        "interrupted" | "warning" => "!",
        _ => "●",
    }
}

/// Text from the record, made harmless: control characters never reach a terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Text of at most so many characters.
pub fn cut(text: &str, most: usize) -> String {
    let text = clean(text);
    match text.char_indices().nth(most) {
        None => text,
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
    }
}

/// A table whose first column is a status.
pub struct StatusTable {
    drawn: Drawn,
    statuses: Vec<String>,
}

impl StatusTable {
    /// A table with these headings; the first column's is empty. Columns that are named with a
    /// leading `>` are aligned right.
    pub fn new(headings: &[&str]) -> Self {
        let mut drawn = Drawn::new();
        drawn.load_style(presets::NOTHING);
        let cells = std::iter::once("").chain(headings.iter().copied());
        drawn.set_header(cells.map(|text| Cell::new(text.trim_start_matches('>').to_uppercase())));
        for (index, heading) in headings.iter().enumerate() {
            if heading.starts_with('>')
                && let Some(column) = drawn.column_mut(index + 1)
            {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { drawn, statuses: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, status: &str, cells: Vec<String>) {
        let first = format!("{} {status}", status_sign(status));
        self.drawn.add_row(std::iter::once(first).chain(cells.iter().map(|c| clean(c))));
        self.statuses.push(status.to_string());
    }

    /// The lines, coloured. Colours are put in afterwards so that widths are those of the text.
    pub fn to_text(&self) -> String {
        let plain = self.drawn.to_string();
        let mut text = String::new();
        for (index, line) in plain.lines().enumerate() {
            let line = line.trim_end().strip_prefix(' ').unwrap_or(line.trim_end());
            match index.checked_sub(1).and_then(|row| self.statuses.get(row)) {
                None => text.push_str(&format!("{FAINT}{line}{RESET}\n")),
                Some(status) => {
                    let sign = format!("{} {status}", status_sign(status));
                    let style = status_style(status);
                    let rest = line.strip_prefix(sign.as_str()).unwrap_or(line);
                    text.push_str(&format!("{style}{sign}{RESET}{rest}\n"));
                }
            }
        }
        text
    }
}

/// A plain table.
pub fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut drawn = Drawn::new();
    drawn.load_style(presets::NOTHING);
    drawn.set_header(headings.iter().map(|text| text.to_uppercase()));
    for row in rows {
        drawn.add_row(row.iter().map(|cell| clean(cell)));
    }
    let plain = drawn.to_string();
    let trimmed = |line: &str| line.trim_end().strip_prefix(' ').unwrap_or(line).to_string();
    let mut lines = plain.lines().map(|line| trimmed(line).trim_end().to_string());
    let head = lines.next().unwrap_or_default();
    let body: String = lines.map(|line| line + "\n").collect();
    format!("{FAINT}{head}{RESET}\n{body}")
}

/// One of several: `1 step`, `2 steps`.
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Bytes for people: `812 B`, `4.2 KiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut tenths = u128::from(n) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_stand_first_and_widths_are_those_of_the_text() {
        let mut table = StatusTable::new(&["step", ">attempts"]);
        table.row("succeeded", vec!["fetch".to_string(), "1".to_string()]);
        table.row("failed", vec!["a-longer-name".to_string(), "12".to_string()]);
        let plain = anstream::adapter::strip_str(&table.to_text()).to_string();
        let lines: Vec<&str> = plain.lines().collect();
        assert!(lines[1].starts_with("✓ succeeded") && lines[1].ends_with(" 1"), "{plain}");
        assert!(lines[2].starts_with("✗ failed") && lines[2].ends_with("12"), "{plain}");
        assert_eq!(lines[1].find("fetch"), lines[2].find("a-longer"), "{plain}");
    }

    #[test]
    fn control_characters_of_the_record_are_not_printed() {
        assert_eq!(clean("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
    }

    #[test]
    fn bytes_are_readable() {
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(4_300), "4.1 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert_eq!(bytes(u64::MAX), "15.9 EiB");
    }
}
