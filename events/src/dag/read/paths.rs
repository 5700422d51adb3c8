//! Paths inside the source or a step's folder.

use crate::dag::codes;
use crate::dag::source::Span;

use super::Reader;
use super::fields::shorten;

impl Reader<'_, '_> {
    /// A relative path (or glob) that stays in its folder.
    pub fn inner_path(&mut self, text: &str, at: Span, what: &str) -> Option<String> {
        match normalise("", text) {
            Ok(path) => Some(path),
            Err(reason) => {
                let message = format!("{what} `{}` {reason}", shorten(text));
                self.report
                    .add(&codes::BAD_PATH, at, message)
                    .hint("give a path below the folder, with `/` between its parts");
                None
            }
        }
    }

    /// A path of the source, relative to the folder of the file that names it.
    pub fn source_path(&mut self, text: &str, at: Span) -> Option<String> {
        let folder = self.file.rsplit_once('/').map_or("", |(folder, _)| folder);
        match normalise(folder, text) {
            Ok(path) => Some(path),
            Err(reason) => {
                let message = format!("the path `{}` {reason}", shorten(text));
                self.report
                    .add(&codes::BAD_PATH, at, message)
                    .hint("give a path relative to this file, inside the source");
                None
            }
        }
    }
}

/// Joins and normalises; the result has no `.` or `..` and does not start with `/`.
fn normalise(folder: &str, text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    if text.starts_with('/') || text.contains('\\') || text.contains(':') && text.len() > 1 {
        let drive = text.as_bytes().get(1) == Some(&b':');
        if text.starts_with('/') || drive {
            return Err("is absolute");
        }
        if text.contains('\\') {
            return Err("has a backslash in it");
        }
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character in it");
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or("leaves its folder")?;
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() { Err("names the folder itself") } else { Ok(parts.join("/")) }
}
