//! Rewrites an expression for the engine, so that its size in bytes bounds its work.
//!
//! In Jinja `*` also repeats text and lists, up to 100 million times: a bomb. Every operand
//! of `*` gets the filter `number`, which lets numbers pass and refuses the rest. Names with
//! hyphens become subscripts.

use super::lex::{Kind, Token};

/// The text for the engine.
pub(crate) fn rewrite(text: &str, tokens: &[Token]) -> String {
    let word = |i: usize| tokens.get(i).map_or("", |token: &Token| &text[token.range.clone()]);
    let mut guards: Vec<usize> = Vec::new();
    for i in 0..tokens.len() {
        if tokens[i].kind == Kind::Symbol && word(i) == "*" {
            if i > 0 {
                guards.push(i - 1);
            }
            guards.extend(operand_end(text, tokens, i + 1));
        }
    }
    guards.sort_unstable();
    guards.dedup();
    let mut out = String::with_capacity(text.len() + guards.len() * 10);
    let mut next_guard = guards.into_iter().peekable();
    for (i, token) in tokens.iter().enumerate() {
        let piece = word(i);
        if token.kind == Kind::Name && piece.contains('-') {
            out.truncate(out.trim_end().len());
            out.pop();
            out.push_str(&format!("[\"{piece}\"]"));
        } else {
            let gap = i.checked_sub(1).map_or(0, |before| tokens[before].range.end);
            out.push_str(&text[gap..token.range.start]);
            out.push_str(piece);
        }
        if next_guard.next_if_eq(&i).is_some() {
            out.push_str("|number");
        }
    }
    out
}

/// The last token of the operand that starts at a token: a primary and what follows it.
fn operand_end(text: &str, tokens: &[Token], start: usize) -> Option<usize> {
    let word = |i: usize| tokens.get(i).map_or("", |token: &Token| &text[token.range.clone()]);
    // A signed operand is a number or an error.
    if matches!(word(start), "-" | "+" | "not") {
        return None;
    }
    let mut at = match word(start) {
        "(" | "[" | "{" => closing(text, tokens, start)?,
        "" => return None,
        _ => start,
    };
    loop {
        at = match word(at + 1) {
            "." | "|" => at + 2,
            "[" | "(" => closing(text, tokens, at + 1)?,
            _ => return (at < tokens.len()).then_some(at),
        };
    }
}

fn closing(text: &str, tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match (&token.kind, &text[token.range.clone()]) {
            (Kind::Symbol, "(" | "[" | "{") => depth += 1,
            (Kind::Symbol, ")" | "]" | "}") => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::lex::lex;
    use super::*;

    #[test]
    fn operands_of_a_product_are_guarded_and_hyphens_become_subscripts() {
        let cases = [
            ("params.a * 2", "params.a|number * 2|number"),
            ("(x ~ y) * f[1].b|int(2) + 1", "(x ~ y)|number * f[1].b|int(2)|number + 1"),
            ("2 * -x", "2|number * -x"),
            ("2 ** 3", "2 ** 3"),
            ("'*' ~ a", "'*' ~ a"),
            ("steps.a-b.outputs.n - 1", "steps[\"a-b\"].outputs.n - 1"),
            ("steps.a.artifacts.x-1", "steps.a.artifacts[\"x-1\"]"),
            ("params.n-1", "params.n-1"),
        ];
        for (text, expected) in cases {
            assert_eq!(rewrite(text, &lex(text, 0, false).tokens), expected);
        }
    }
}
