//! Templates (text with `${{ … }}` in it) and conditions (a bare expression).

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::ids::StepName;
use crate::value::Value;

use super::compile::{Compiled, Fault, compile};
use super::engine::MAX_TEXT_BYTES;
use super::eval::evaluate;
use super::lex::lex;
use super::names::{Name, Segment};
use super::scope::{ExprError, Scope};

/// Text with `${{ … }}` in it, compiled. Cheap to clone.
#[derive(Clone)]
pub struct Template {
    text: Arc<str>,
    parts: Arc<[Part]>,
}

/// A bare expression, as in `if`. Cheap to clone.
#[derive(Clone)]
pub struct Condition {
    text: Arc<str>,
    compiled: Arc<Compiled>,
}

#[derive(Debug)]
enum Part {
    Text(Range<usize>),
    Expression(Compiled),
}

/// Why text is not a template or condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// What is wrong.
    pub message: String,
}

impl From<Fault> for CompileError {
    fn from(fault: Fault) -> Self {
        Self { range: fault.range, message: fault.message }
    }
}

/// Where an expression opens in text.
pub(crate) fn opens_expression(text: &str) -> Option<usize> {
    text.find("${{")
}

impl Template {
    /// Compiles text; what stands outside `${{ … }}` is taken as it is.
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(open) = opens_expression(&text[at..]).map(|found| at + found) {
            if open > at {
                parts.push(Part::Text(at..open));
            }
            let lexed = lex(text, open + 3, true);
            if !lexed.complete {
                let message = "`${{` is not closed by `}}`".to_string();
                return Err(CompileError { range: open..open + 3, message });
            }
            parts.push(Part::Expression(compile(text, open + 3..lexed.end, &lexed.tokens)?));
            at = lexed.end + 2;
        }
        if at < text.len() {
            parts.push(Part::Text(at..text.len()));
        }
        Ok(Self { text: Arc::from(text), parts: Arc::from(parts) })
    }

    /// Text without expressions, whatever is in it.
    pub fn constant(text: &str) -> Self {
        let part = Part::Text(0..text.len());
        Self { text: Arc::from(text), parts: Arc::from([part]) }
    }

    /// Evaluates it. One expression alone keeps its type; anything else gives text.
    ///
    /// Expressions may give 64 KiB of text in all; a list or object may have 8 MiB.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, ExprError> {
        match &*self.parts {
            [] => Ok(Value::str("")),
            [Part::Text(_)] => Ok(Value::str(&self.text)),
            [Part::Expression(compiled)] => {
                let value = run(compiled, scope)?;
                match &value {
                    Value::Str(text) if text.len() > MAX_TEXT_BYTES => Err(too_long(compiled)),
                    _ => Ok(value),
                }
            }
            parts => self.concatenate(parts, scope).map(Value::str),
        }
    }

    fn concatenate(&self, parts: &[Part], scope: &Scope<'_>) -> Result<String, ExprError> {
        let mut out = String::new();
        let mut left = MAX_TEXT_BYTES;
        for part in parts {
            match part {
                Part::Text(range) => out.push_str(&self.text[range.clone()]),
                Part::Expression(compiled) => {
                    let value = run(compiled, scope)?;
                    if value.size() > 2 * MAX_TEXT_BYTES {
                        return Err(too_long(compiled));
                    }
                    let text = value.to_text();
                    left = left.checked_sub(text.len()).ok_or_else(|| too_long(compiled))?;
                    out.push_str(&text);
                }
            }
        }
        Ok(out)
    }

    /// Evaluates to text.
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, ExprError> {
        self.evaluate(scope).map(|value| value.to_text())
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.text
    }

    /// Whether it holds no expression.
    pub fn is_constant(&self) -> bool {
        self.expressions().next().is_none()
    }

    /// Steps that it reads.
    pub fn references(&self) -> Vec<StepName> {
        step_names(self.expressions())
    }

    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Compiled> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Expression(compiled) => Some(compiled),
        })
    }
}

impl Condition {
    /// Compiles a bare expression; one in `${{ }}` is taken as if bare.
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        let trimmed = text.trim();
        let start = text.len() - text.trim_start().len();
        let wrapped = trimmed.starts_with("${{") && trimmed.ends_with("}}");
        let lexed = match wrapped {
            true => lex(text, start + 3, true),
            false => lex(text, start, false),
        };
        let from = if wrapped { start + 3 } else { start };
        if !lexed.complete {
            let message = "a text in it is not closed".to_string();
            return Err(CompileError { range: start..text.len(), message });
        }
        if wrapped && lexed.end + 2 != start + trimmed.len() {
            let message = "an `if` is one expression".to_string();
            return Err(CompileError { range: lexed.end + 2..text.len(), message });
        }
        let compiled = Arc::new(compile(text, from..lexed.end, &lexed.tokens)?);
        Ok(Self { text: Arc::from(text), compiled })
    }

    /// Evaluates to true or false; any other value is an error.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, ExprError> {
        match run(&self.compiled, scope)? {
            Value::Bool(b) => Ok(b),
            other => Err(ExprError {
                expression: self.compiled.source.clone(),
                message: format!(
                    "a condition must be true or false, this is of type {}; compare it with \
                     something",
                    other.type_name()
                ),
            }),
        }
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.text
    }

    /// Steps that it reads.
    pub fn references(&self) -> Vec<StepName> {
        step_names(std::iter::once(&*self.compiled))
    }

    pub(crate) fn expression(&self) -> &Compiled {
        &self.compiled
    }
}

fn run(compiled: &Compiled, scope: &Scope<'_>) -> Result<Value, ExprError> {
    evaluate(compiled, scope)
        .map_err(|message| ExprError { expression: compiled.source.clone(), message })
}

fn too_long(compiled: &Compiled) -> ExprError {
    let message = format!("the text would be longer than {MAX_TEXT_BYTES} bytes");
    ExprError { expression: compiled.source.clone(), message }
}

fn step_names<'a>(expressions: impl Iterator<Item = &'a Compiled>) -> Vec<StepName> {
    let mut names = BTreeSet::new();
    for name in expressions.flat_map(|compiled| &compiled.names) {
        if let Name::Path(mention) = name
            && mention.root == "steps"
            && let Some(Segment::Member(step, _)) = mention.segments.first()
        {
            names.extend(StepName::new(step).ok());
        }
    }
    names.into_iter().collect()
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.is_constant() == other.is_constant()
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.text)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({:?})", self.text)
    }
}
