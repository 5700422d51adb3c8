//! Tokens of an expression, with byte ranges: enough to find the names in it.

use std::ops::Range;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Name,
    /// The text between the quotes, escapes left as they are.
    Text(String),
    Number,
    Symbol,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub range: Range<usize>,
}

/// Where lexing stopped.
pub(crate) struct Lexed {
    pub tokens: Vec<Token>,
    /// One past the last byte of the expression (before `}}`, when asked to stop there).
    pub end: usize,
    /// Whether `}}` was seen, or the text ended when that was what was asked for.
    pub complete: bool,
}

/// Reads tokens from `start`; with `until_close`, up to a `}}` outside of braces and strings.
pub(crate) fn lex(text: &str, start: usize, until_close: bool) -> Lexed {
    let bytes = text.as_bytes();
    let mut tokens: Vec<Token> = Vec::new();
    let mut depth = 0usize;
    let mut at = start;
    while at < bytes.len() {
        let from = at;
        let kind = match bytes[at] {
            c if c.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'}' if until_close && depth == 0 && bytes.get(at + 1) == Some(&b'}') => {
                return Lexed { tokens, end: at, complete: true };
            }
            quote @ (b'"' | b'\'') => match string_end(bytes, at, quote) {
                None => return Lexed { tokens, end: bytes.len(), complete: false },
                Some(end) => {
                    at = end;
                    Kind::Text(text[from + 1..end - 1].to_string())
                }
            },
            c if c.is_ascii_digit() => {
                at = scan(bytes, at, |c| c.is_ascii_alphanumeric() || c == b'_');
                let fraction = bytes.get(at) == Some(&b'.')
                    && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
                if fraction {
                    at = scan(bytes, at + 1, |c| c.is_ascii_alphanumeric());
                }
                Kind::Number
            }
            c if c.is_ascii_alphabetic() || c == b'_' || c >= 0x80 => {
                let hyphens = names_a_step(&tokens, text);
                let part = |c: u8| {
                    c.is_ascii_alphanumeric() || c == b'_' || c >= 0x80 || (hyphens && c == b'-')
                };
                at = scan(bytes, at, part);
                Kind::Name
            }
            c => {
                at += symbol_length(&bytes[at..]);
                match c {
                    b'{' => depth += 1,
                    b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                Kind::Symbol
            }
        };
        tokens.push(Token { kind, range: from..at });
    }
    Lexed { tokens, end: at, complete: !until_close }
}

fn scan(bytes: &[u8], mut at: usize, part: impl Fn(u8) -> bool) -> usize {
    while at < bytes.len() && part(bytes[at]) {
        at += 1;
    }
    at
}

fn string_end(bytes: &[u8], start: usize, quote: u8) -> Option<usize> {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            c if c == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

fn symbol_length(rest: &[u8]) -> usize {
    match rest {
        [b'=' | b'!' | b'<' | b'>', b'=', ..] | [b'*', b'*', ..] | [b'/', b'/', ..] => 2,
        _ => 1,
    }
}

/// Step and artifact names may hold hyphens, so after `steps.` and `.artifacts.` a hyphen
/// belongs to the name: neither is a number from which something could be taken away.
fn names_a_step(tokens: &[Token], text: &str) -> bool {
    let is = |back: usize, expected: &str| {
        tokens
            .len()
            .checked_sub(back)
            .and_then(|i| tokens.get(i))
            .is_some_and(|token| &text[token.range.clone()] == expected)
    };
    is(1, ".") && ((is(2, "steps") && !is(3, ".")) || (is(2, "artifacts") && is(3, ".")))
}
