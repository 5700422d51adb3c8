//! Expressions in values: compiled, and kept with their places for the check of names.

use std::ops::Range;

use crate::dag::codes;
use crate::dag::expr::{Compiled, Condition, Name, Template, opens_expression};
use crate::dag::source::{Entry, Node, Span};

use super::Reader;
use super::fields::shorten;

/// Where an expression stands: it decides which names have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Evaluated when the plan is made: `params`, `git` and `run.tenant`.
    Plan,
    /// The defaults of all steps: what every step can see.
    Defaults,
    /// A step as a whole.
    Step(usize),
    /// Each child of a step.
    Child(usize),
}

/// A name that the file reads, and where.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    pub place: Place,
    pub name: Name,
    pub span: Span,
}

impl Reader<'_, '_> {
    /// Text in which expressions may stand.
    pub fn template(&mut self, entry: &Entry, place: Place) -> Option<Template> {
        self.scalar(entry, "text")?;
        self.template_node(&entry.node, place)
    }

    /// The same for a scalar without a key.
    pub fn template_node(&mut self, node: &Node, place: Place) -> Option<Template> {
        let text = &node.as_scalar()?.text;
        match Template::compile(text) {
            Ok(template) => {
                let offset = self.offset_in_source(node, text);
                for compiled in template.expressions() {
                    self.record(compiled, text, node, offset, place);
                }
                Some(template)
            }
            Err(error) => {
                let span = self.locate(node, text, &error.range);
                self.report.add(&codes::EXPRESSION_SYNTAX, span, error.message);
                None
            }
        }
    }

    /// A bare expression.
    pub fn condition(&mut self, entry: &Entry, place: Place) -> Option<Condition> {
        let scalar = self.scalar(entry, "an expression")?;
        match Condition::compile(&scalar.text) {
            Ok(condition) => {
                let offset = self.offset_in_source(&entry.node, &scalar.text);
                self.record(condition.expression(), &scalar.text, &entry.node, offset, place);
                Some(condition)
            }
            Err(error) => {
                let span = self.locate(&entry.node, &scalar.text, &error.range);
                let hint = scalar.text.contains(" = ").then(|| "compare with `==`".to_string());
                self.report.add(&codes::EXPRESSION_SYNTAX, span, error.message).maybe_hint(hint);
                None
            }
        }
    }

    /// Reports an expression in text that may hold none.
    pub fn no_expression(&mut self, text: &str, at: Span, key: &str) -> bool {
        let none = opens_expression(text).is_none();
        if !none {
            let message = format!("`{}` cannot hold an expression", shorten(key));
            self.report.add(&codes::EXPRESSION_NOT_HERE, at, message).hint(
                "expressions may stand in env, command, image, for_each, matrix, inputs, cache.key, \
                 concurrency.group, approval.message, placement, params of sub-DAGs, and if",
            );
        }
        none
    }

    fn record(
        &mut self,
        compiled: &Compiled,
        text: &str,
        node: &Node,
        offset: Option<usize>,
        place: Place,
    ) {
        for name in &compiled.names {
            let range = match name {
                Name::Path(mention) => &mention.range,
                Name::Filter(_, range) | Name::Test(_, range) | Name::Call(_, range) => range,
            };
            let span = match offset {
                Some(start) => Span { start: start + range.start, end: start + range.end },
                None => self.nearest_in_source(node, text, range),
            };
            self.uses.push(Use { place, name: name.clone(), span });
        }
    }

    /// Bytes of the file for bytes of a scalar's text: exact where the text stands in the
    /// file as it is, the nearest thing that can be found where it was folded or escaped.
    pub fn locate(&self, node: &Node, text: &str, range: &Range<usize>) -> Span {
        match self.offset_in_source(node, text) {
            Some(start) => Span { start: start + range.start, end: start + range.end },
            None => self.nearest_in_source(node, text, range),
        }
    }

    /// Where a scalar's text stands in the file, if it stands there as it is.
    fn offset_in_source(&self, node: &Node, text: &str) -> Option<usize> {
        let written = self.report.source().text.get(node.span.start..node.span.end)?;
        written.find(text).map(|at| node.span.start + at)
    }

    fn nearest_in_source(&self, node: &Node, text: &str, range: &Range<usize>) -> Span {
        const LONGEST: usize = 8 << 10;
        let written = self.report.source().text.get(node.span.start..node.span.end);
        let piece = text.get(range.clone()).filter(|piece| !piece.is_empty());
        let (Some(written), Some(piece)) = (written, piece) else { return node.span };
        if text.len() > LONGEST {
            return node.span;
        }
        let earlier = text[..range.start].matches(piece).count();
        match written.match_indices(piece).nth(earlier) {
            Some((at, _)) => {
                let start = node.span.start + at;
                Span { start, end: start + piece.len() }
            }
            None => node.span,
        }
    }
}
