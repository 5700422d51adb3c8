//! Builds the tree from parser events, with an explicit stack and a budget.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span as EventSpan};

use crate::dag::codes;

use super::node::{Entry, Kind, Node, Scalar, Span};
use super::report::Report;

/// Deepest nesting.
const MAX_DEPTH: usize = 64;
/// Most nodes, aliases expanded.
const MAX_NODES: u64 = 250_000;

/// A parsed file.
pub(crate) struct Tree {
    pub root: Rc<Node>,
}

/// Parses the text of the report's file. Nothing comes back when it is not YAML at all.
pub(crate) fn read_tree(report: &mut Report<'_>) -> Option<Tree> {
    let source = report.source();
    let base = source.bom_bytes();
    let mut options = serde_saphyr::granit_parser::Options::default();
    options.emit_comments = false;
    let text = &source.text[base..];
    let mut builder =
        Builder { report, base, stack: Vec::new(), done: None, anchors: BTreeMap::new() };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(builder.syntax(&error)),
        };
        if step.is_err() {
            return None;
        }
    }
    let root = builder.done;
    if root.as_ref().is_none_or(|built| built.node.is_null()) {
        report
            .add(&codes::EMPTY, Span::default(), "the file holds nothing")
            .hint("start with `dagbook: v1`, a `name` and `steps`");
        return None;
    }
    root.map(|built| Tree { root: built.node })
}

/// The reading was given up; the finding is in the report.
struct GivenUp;

/// A node with what it costs.
#[derive(Clone)]
struct Built {
    node: Rc<Node>,
    weight: u64,
    height: usize,
}

enum Frame {
    List { span: Span, anchor: usize, items: Vec<Rc<Node>>, cost: Cost },
    Map { span: Span, anchor: usize, entries: Vec<Entry>, key: Option<Key>, cost: Cost },
}

/// A key waiting for its value; nothing when it was not usable.
struct Key(Option<(String, Span)>);

#[derive(Clone, Copy, Default)]
struct Cost {
    weight: u64,
    height: usize,
}

impl Cost {
    fn take(&mut self, built: &Built) {
        self.weight = self.weight.saturating_add(built.weight);
        self.height = self.height.max(built.height);
    }
}

struct Builder<'r, 's> {
    report: &'r mut Report<'s>,
    base: usize,
    stack: Vec<Frame>,
    done: Option<Built>,
    anchors: BTreeMap<usize, Built>,
}

impl Builder<'_, '_> {
    fn event(&mut self, event: Event<'_>, at: EventSpan) -> Result<(), GivenUp> {
        let range = at.byte_range().unwrap_or(0..0);
        let span = Span { start: range.start + self.base, end: range.end + self.base };
        if let Some(tag) = event.tag() {
            let message = format!("the tag `{tag}` has no meaning in a DAG file");
            self.report
                .add(&codes::TAG, span, message)
                .hint("remove it; quote text to keep it text");
        }
        match event {
            Event::DocumentStart(..) if self.done.is_some() => {
                self.report
                    .add(&codes::SEVERAL_DOCUMENTS, span, "a second document starts here")
                    .hint("put each pipeline in a file of its own");
                Err(GivenUp)
            }
            Event::Scalar(text, style, anchor, _) => {
                let scalar = Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.finish(Kind::Scalar(scalar), span, anchor, Cost::default())
            }
            Event::SequenceStart(_, anchor, _) => {
                self.deeper(span)?;
                self.stack.push(Frame::List {
                    span,
                    anchor,
                    items: Vec::new(),
                    cost: Cost::default(),
                });
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.deeper(span)?;
                let (entries, cost) = (Vec::new(), Cost::default());
                self.stack.push(Frame::Map { span, anchor, entries, key: None, cost });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(id) => self.alias(id, span),
            _ => Ok(()),
        }
    }

    fn deeper(&mut self, span: Span) -> Result<(), GivenUp> {
        if self.stack.len() < MAX_DEPTH {
            return Ok(());
        }
        let message = format!("nested deeper than {MAX_DEPTH} levels");
        self.report.add(&codes::TOO_DEEP, span, message);
        Err(GivenUp)
    }

    fn close(&mut self, end: Span) -> Result<(), GivenUp> {
        let whole = |span: Span| Span { start: span.start, end: end.end.max(span.end) };
        match self.stack.pop() {
            Some(Frame::List { span, anchor, items, cost }) => {
                self.finish(Kind::List(items), whole(span), anchor, cost)
            }
            Some(Frame::Map { span, anchor, entries, cost, .. }) => {
                let entries = without_duplicates(entries, self.report);
                self.finish(Kind::Map(entries), whole(span), anchor, cost)
            }
            None => Err(GivenUp),
        }
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), GivenUp> {
        let Some(built) = self.anchors.get(&id).cloned() else {
            self.report.add(&codes::SYNTAX, span, "the alias refers to a value that holds it");
            return Err(GivenUp);
        };
        if self.stack.len() + built.height > MAX_DEPTH {
            return self.deeper_by_alias(span);
        }
        self.place(built, span)
    }

    fn deeper_by_alias(&mut self, span: Span) -> Result<(), GivenUp> {
        let message = format!("with this alias, nested deeper than {MAX_DEPTH} levels");
        self.report.add(&codes::TOO_DEEP, span, message);
        Err(GivenUp)
    }

    fn finish(&mut self, kind: Kind, span: Span, anchor: usize, cost: Cost) -> Result<(), GivenUp> {
        let nested = usize::from(!matches!(kind, Kind::Scalar(_)));
        let built = Built {
            node: Rc::new(Node { span, kind }),
            weight: cost.weight.saturating_add(1),
            height: cost.height + nested,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        self.place(built, span)
    }

    fn place(&mut self, built: Built, span: Span) -> Result<(), GivenUp> {
        let heavy = match self.stack.last_mut() {
            None => {
                self.done = Some(built);
                return Ok(());
            }
            Some(Frame::List { items, cost, .. }) => {
                cost.take(&built);
                items.push(built.node);
                cost.weight > MAX_NODES
            }
            Some(Frame::Map { cost, .. }) => {
                cost.take(&built);
                let heavy = cost.weight > MAX_NODES;
                self.place_in_map(built.node, span);
                heavy
            }
        };
        if heavy {
            let message = format!("with aliases expanded, more than {MAX_NODES} nodes");
            self.report.add(&codes::ALIAS_BUDGET, span, message);
            return Err(GivenUp);
        }
        Ok(())
    }

    fn place_in_map(&mut self, node: Rc<Node>, span: Span) {
        let Some(Frame::Map { entries, key, .. }) = self.stack.last_mut() else { return };
        match key.take() {
            None => *key = Some(usable_key(self.report, &node, span)),
            Some(Key(None)) => {}
            Some(Key(Some((name, key_span)))) => {
                entries.push(Entry { key: name, key_span, node });
            }
        }
    }

    fn syntax(&mut self, error: &ScanError) -> GivenUp {
        let at = error.marker().byte_offset().unwrap_or(0) + self.base;
        let text = error.kind().to_string();
        let bytes = self.report.source().text.as_bytes();
        let near = at.saturating_sub(1)..(at + 1).min(bytes.len());
        let tab = bytes.get(near).is_some_and(|near| near.contains(&b'\t'));
        let code = if text.contains("recursion") || text.contains("nesting") {
            &codes::TOO_DEEP
        } else {
            &codes::SYNTAX
        };
        let finding = self.report.add(code, Span { start: at, end: at + 1 }, text);
        if tab {
            finding.hint("indent with spaces; YAML does not allow tabs there");
        }
        GivenUp
    }
}

/// The first of each key; the others are reported.
fn without_duplicates(entries: Vec<Entry>, report: &mut Report<'_>) -> Vec<Entry> {
    let mut first: BTreeMap<String, Span> = BTreeMap::new();
    let mut kept = Vec::with_capacity(entries.len());
    for entry in entries {
        match first.get(&entry.key) {
            None => {
                first.insert(entry.key.clone(), entry.key_span);
                kept.push(entry);
            }
            Some(earlier) => {
                let (line, _) = report.source().position(earlier.start);
                let message = format!("the key `{}` is there already, in line {line}", entry.key);
                report.add(&codes::DUPLICATE_KEY, entry.key_span, message);
            }
        }
    }
    kept
}

fn usable_key(report: &mut Report<'_>, node: &Node, span: Span) -> Key {
    match node.as_scalar() {
        Some(scalar) if scalar.plain && scalar.text == "<<" => {
            report
                .add(&codes::MERGE_KEY, span, "merge keys (`<<`) are not part of YAML 1.2")
                .hint("use `defaults`, or an alias as the whole value of a key");
            Key(None)
        }
        // The parser gives `~` for what is not there.
        Some(scalar) if scalar.plain && span.start == span.end => {
            report.add(&codes::BAD_KEY, span, "a key is missing before `:`");
            Key(None)
        }
        Some(scalar) => Key(Some((scalar.text.clone(), span))),
        None => {
            let message = format!("a key must be text, not {}", node.type_name());
            report.add(&codes::BAD_KEY, span, message);
            Key(None)
        }
    }
}
