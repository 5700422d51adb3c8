//! One expression, compiled.

use std::ops::Range;
use std::sync::Arc;

use minijinja::Expression;

use super::engine::ENGINE;
pub(crate) use super::engine::{FILTERS, TESTS};
use super::guard::rewrite;
use super::lex::{Token, lex};
use super::names::{Mention, Name, names, whole_path};

/// Tokens that one expression may have: it bounds the depth of what the engine builds.
const MAX_TOKENS: usize = 400;

/// An expression and what is known of it before it is evaluated.
pub(crate) struct Compiled {
    /// The expression without its `${{ }}`.
    pub source: String,
    /// What it mentions; ranges are bytes of the template's text.
    pub names: Vec<Name>,
    pub program: Program,
}

pub(crate) enum Program {
    /// One path: looked up without the engine, so that decimals keep their digits.
    Path(Mention),
    Engine(Arc<Expression<'static, 'static>>),
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`", self.source)
    }
}

/// Why it does not compile: bytes of the template's text, and what is wrong there.
pub(crate) struct Fault {
    pub range: Range<usize>,
    pub message: String,
}

/// Compiles the part `range` of a template's text, whose tokens are known.
pub(crate) fn compile(
    text: &str,
    range: Range<usize>,
    tokens: &[Token],
) -> Result<Compiled, Fault> {
    let source = text[range.clone()].trim().to_string();
    let fault = |range: Range<usize>, message: String| Err(Fault { range, message });
    if tokens.is_empty() {
        return fault(range, "the expression is empty".into());
    }
    if tokens.len() > MAX_TOKENS {
        let message = format!("the expression has more than {MAX_TOKENS} words and signs");
        return fault(range, message);
    }
    let names = names(text, tokens);
    if let Some(mention) = whole_path(&names, tokens).filter(|m| !is_literal(&m.root)) {
        return Ok(Compiled { source, names, program: Program::Path(mention) });
    }
    let (from, to) = (tokens[0].range.start, tokens[tokens.len() - 1].range.end);
    // The engine sees the part alone, so its ranges start at the part's first token.
    let part = &text[from..to];
    let own: Vec<Token> = lex(part, 0, false).tokens;
    match ENGINE.compile_expression_owned(rewrite(part, &own)) {
        Ok(expression) => {
            let program = Program::Engine(Arc::new(expression));
            Ok(Compiled { source, names, program })
        }
        Err(error) => {
            let message = error.detail().unwrap_or("it cannot be read").to_string();
            let range = match error.range() {
                Some(at) if rewrite(part, &own).len() == part.len() => {
                    from + at.start.min(part.len())..from + at.end.min(part.len())
                }
                _ => from..to,
            };
            fault(range, message)
        }
    }
}

fn is_literal(word: &str) -> bool {
    matches!(word, "true" | "false" | "none" | "True" | "False" | "None")
}
