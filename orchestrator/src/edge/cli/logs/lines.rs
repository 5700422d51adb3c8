//! How log bytes are printed: as they are, by line with the step's name, or as JSON lines.

use std::collections::BTreeMap;

use dagbook_events::ids::{AttemptId, StepKey};
use serde::Serialize;

use crate::edge::cli::CliError;
use crate::edge::cli::output::{self, FAINT, RESET};

/// A line longer than this is printed in pieces, so that memory stays bounded.
const LONGEST_LINE: usize = 64 << 10;

/// Where bytes are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The step or child.
    pub step: StepKey,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its number.
    pub number: u32,
}

/// Prints what it is given.
pub struct Lines {
    form: Form,
    /// Lines that have not ended, with the offset of their first byte.
    open: BTreeMap<AttemptId, (u64, Vec<u8>)>,
    width: usize,
}

enum Form {
    AsIs,
    Named,
    Json,
}

#[derive(Serialize)]
struct Line<'a> {
    r#type: &'static str,
    step: &'a StepKey,
    attempt: AttemptId,
    number: u32,
    offset: u64,
    text: std::borrow::Cow<'a, str>,
}

impl Lines {
    pub fn new(json: bool, one: bool) -> Self {
        let form = match (json, one) {
            (true, _) => Form::Json,
            (false, true) => Form::AsIs,
            (false, false) => Form::Named,
        };
        Self { form, open: BTreeMap::new(), width: 8 }
    }

    /// Bytes of a log, the next ones of that attempt.
    pub fn add(&mut self, source: &Source, offset: u64, bytes: &[u8]) -> Result<(), CliError> {
        if matches!(self.form, Form::AsIs) {
            return output::raw(bytes);
        }
        let (mut start, mut line) = self.open.remove(&source.attempt).unwrap_or((offset, vec![]));
        let mut text = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || line.len() >= LONGEST_LINE {
                self.write(source, start, &line, &mut text)?;
                start += line.len() as u64;
                line.clear();
            }
        }
        if !line.is_empty() {
            self.open.insert(source.attempt, (start, line));
        }
        self.put(&text)
    }

    /// The log has ended, perhaps within a line.
    pub fn end(&mut self, source: &Source) -> Result<(), CliError> {
        let Some((start, line)) = self.open.remove(&source.attempt) else { return Ok(()) };
        let mut text = Vec::new();
        self.write(source, start, &line, &mut text)?;
        self.put(&text)
    }

    /// Nobody looks any longer: what is left of open lines is not lost.
    pub fn close(&mut self) -> Result<(), CliError> {
        let left: Vec<u8> = std::mem::take(&mut self.open)
            .into_values()
            .filter(|_| matches!(self.form, Form::Named))
            .flat_map(|(_, line)| line.into_iter().chain([b'\n']))
            .collect();
        output::raw(&left)
    }

    fn write(
        &mut self,
        source: &Source,
        offset: u64,
        line: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<(), CliError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if let Form::Json = self.form {
            let line = Line {
                r#type: "log",
                step: &source.step,
                attempt: source.attempt,
                number: source.number,
                offset,
                text: String::from_utf8_lossy(line),
            };
            let json = serde_json::to_vec(&line).map_err(|e| CliError::failed(e.to_string()))?;
            text.extend_from_slice(&json);
        } else {
            self.width = self.width.max(source.step.as_str().chars().count().min(40));
            let (step, width) = (&source.step, self.width);
            text.extend_from_slice(format!("{FAINT}{step:<width$} |{RESET} ").as_bytes());
            text.extend_from_slice(line);
        }
        text.push(b'\n');
        Ok(())
    }

    fn put(&self, bytes: &[u8]) -> Result<(), CliError> {
        match self.form {
            Form::Named => output::bytes_with_escapes(bytes),
            _ => output::raw(bytes),
        }
    }
}
