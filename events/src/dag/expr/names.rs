//! The names that an expression mentions, found before it is ever evaluated.

use std::ops::Range;

use super::lex::{Kind, Token};

/// A dotted path from a root name: `steps.fetch.outputs.shards`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mention {
    pub root: String,
    pub segments: Vec<Segment>,
    /// Bytes of the expression.
    pub range: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Segment {
    Member(String, Range<usize>),
    Index(i64),
    /// `[…]` with something only known later; the path ends here.
    Dynamic(Range<usize>),
}

/// What else an expression uses by name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Name {
    Path(Mention),
    Filter(String, Range<usize>),
    Test(String, Range<usize>),
    Call(String, Range<usize>),
}

const WORDS: [&str; 14] = [
    "and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None",
    "elif",
];

/// All names, in order.
pub(crate) fn names(text: &str, tokens: &[Token]) -> Vec<Name> {
    let reader = Reader { text, tokens };
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = reader.read(at, &mut found);
    }
    found
}

struct Reader<'a> {
    text: &'a str,
    tokens: &'a [Token],
}

impl<'a> Reader<'a> {
    fn word(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| &self.text[token.range.clone()])
    }

    fn is_name(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == Kind::Name)
    }

    fn before(&self, at: usize) -> &'a str {
        at.checked_sub(1).map_or("", |before| self.word(before))
    }

    /// Reads what starts at a token and gives the next token to look at.
    fn read(&self, at: usize, found: &mut Vec<Name>) -> usize {
        if !self.is_name(at) {
            return at + 1;
        }
        let word = self.word(at);
        let range = self.tokens[at].range.clone();
        if word == "is" {
            let test = if self.word(at + 1) == "not" { at + 2 } else { at + 1 };
            if self.is_name(test) {
                let range = self.tokens[test].range.clone();
                found.push(Name::Test(self.word(test).to_string(), range));
                return test + 1;
            }
            return at + 1;
        }
        match self.before(at) {
            "|" => {
                found.push(Name::Filter(word.to_string(), range));
                return at + 1;
            }
            // A member of something that is not a path, such as `(…).name`.
            "." => return at + 1,
            _ => {}
        }
        // A keyword argument of a filter: `default(value=1)`.
        let argument = self.word(at + 1) == "=";
        if argument || WORDS.contains(&word) {
            return at + 1;
        }
        self.path(at, found)
    }

    fn path(&self, start: usize, found: &mut Vec<Name>) -> usize {
        let mut segments = Vec::new();
        let mut at = start + 1;
        while let Some((segment, next)) = self.segment(at) {
            let dynamic = matches!(segment, Segment::Dynamic(_));
            segments.push(segment);
            if dynamic {
                break;
            }
            at = next;
        }
        let range = self.tokens[start].range.start..self.tokens[at - 1].range.end;
        if self.word(at) == "(" {
            let name = self.text[range.clone()].to_string();
            found.push(Name::Call(name, range));
            return at;
        }
        let root = self.word(start).to_string();
        found.push(Name::Path(Mention { root, segments, range }));
        at
    }

    fn segment(&self, at: usize) -> Option<(Segment, usize)> {
        let range = |i: usize| self.tokens[i].range.clone();
        match self.word(at) {
            "." => match &self.tokens.get(at + 1)?.kind {
                Kind::Name => {
                    let name = self.word(at + 1).to_string();
                    Some((Segment::Member(name, range(at + 1)), at + 2))
                }
                Kind::Number => Some((Segment::Index(self.word(at + 1).parse().ok()?), at + 2)),
                _ => None,
            },
            "[" => {
                let closes = self.word(at + 2) == "]";
                match &self.tokens.get(at + 1)?.kind {
                    Kind::Text(name) if closes => {
                        Some((Segment::Member(name.clone(), range(at + 1)), at + 3))
                    }
                    Kind::Number if closes => {
                        Some((Segment::Index(self.word(at + 1).parse().ok()?), at + 3))
                    }
                    _ => Some((Segment::Dynamic(range(at)), at)),
                }
            }
            _ => None,
        }
    }
}

/// The path, if the expression is one path and nothing else.
pub(crate) fn whole_path(found: &[Name], tokens: &[Token]) -> Option<Mention> {
    match (found, tokens.first(), tokens.last()) {
        ([Name::Path(mention)], Some(first), Some(last)) => {
            let covers =
                mention.range.start == first.range.start && mention.range.end == last.range.end;
            let fixed = !mention.segments.iter().any(|s| matches!(s, Segment::Dynamic(_)));
            (covers && fixed).then(|| mention.clone())
        }
        _ => None,
    }
}
