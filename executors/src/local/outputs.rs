//! What a step wrote to `$DAGBOOK_OUTPUT`: lines `name=value`, blocks `name<<END … END`, or one
//! JSON object.

use std::collections::BTreeMap;

use dagbook_events::value::Value;

/// Reads outputs. A name that is given twice has its last value. The error is a sentence for
/// the author, with the line.
pub(crate) fn parse(bytes: &[u8], cap: u64) -> Result<BTreeMap<String, Value>, String> {
    if bytes.len() as u64 > cap {
        return Err(format!(
            "the outputs are larger than {} KiB; keep larger things as artifacts",
            cap >> 10
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("the outputs are not UTF-8 (line {line})")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') { object(text) } else { lines(text) }
}

fn object(text: &str) -> Result<BTreeMap<String, Value>, String> {
    let json: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| format!("the outputs begin as a JSON object but are not one: {error}"))?;
    let Value::Object(members) = Value::from_json(&json) else {
        return Err("the outputs begin as a JSON object but are not one".to_string());
    };
    for name in members.keys() {
        check_name(name)?;
    }
    Ok((*members).clone())
}

fn lines(text: &str) -> Result<BTreeMap<String, Value>, String> {
    let mut found = BTreeMap::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let number = number + 1;
        if line.trim().is_empty() {
            continue;
        }
        let assignment = line.find('=');
        let block = line.find("<<").filter(|at| assignment.is_none_or(|equals| *at < equals));
        let (name, value) = match (block, assignment) {
            (Some(at), _) => {
                let end = line[at + 2..].trim();
                if end.is_empty() {
                    return Err(format!("line {number}: `<<` wants a word that ends the block"));
                }
                let mut value: Vec<&str> = Vec::new();
                loop {
                    match lines.next() {
                        Some((_, line)) if line.trim_end() == end => break,
                        Some((_, line)) => value.push(line),
                        None => {
                            return Err(format!(
                                "line {number}: the block is not ended by a line `{end}`"
                            ));
                        }
                    }
                }
                (line[..at].trim(), value.join("\n"))
            }
            (None, Some(at)) => (line[..at].trim(), line[at + 1..].to_string()),
            (None, None) => {
                let shown: String = line.chars().take(40).collect();
                return Err(format!("line {number}: `name=value` is expected, found `{shown}`"));
            }
        };
        check_name(name).map_err(|error| format!("line {number}: {error}"))?;
        found.insert(name.to_string(), Value::str(value));
    }
    Ok(found)
}

fn check_name(name: &str) -> Result<(), String> {
    dagbook_events::ids::StepName::new(name).map(drop).map_err(|_| {
        let shown: String = name.chars().take(40).collect();
        format!("`{shown}` is not an output's name: it must match [A-Za-z_][A-Za-z0-9_-]{{0,62}}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> BTreeMap<String, Value> {
        parse(text.as_bytes(), 64 << 10).unwrap()
    }

    fn err(bytes: &[u8]) -> String {
        parse(bytes, 64 << 10).unwrap_err()
    }

    #[test]
    fn lines_blocks_and_repeated_names() {
        let found = ok("a=1\n\nb= two=2 \na=3\nc<<END\nfirst\n  second=x\nEND\nd<<E\nE\n");
        assert_eq!(found["a"], Value::str("3"));
        assert_eq!(found["b"], Value::str(" two=2 "));
        assert_eq!(found["c"], Value::str("first\n  second=x"));
        assert_eq!(found["d"], Value::str(""));
        assert_eq!(ok("x=a<<b")["x"], Value::str("a<<b"), "the first sign decides");
        assert_eq!(ok("last=no newline")["last"], Value::str("no newline"));
        assert!(ok("").is_empty());
        assert_eq!(ok("w=1\r\n")["w"], Value::str("1"));
    }

    #[test]
    fn one_json_object_keeps_types() {
        let found = ok(" {\"n\": 3, \"list\": [\"a\", true], \"s\": \"x\"}\n");
        assert_eq!(found["n"], Value::Int(3));
        assert_eq!(found["list"], Value::list(vec![Value::str("a"), Value::Bool(true)]));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        assert_eq!(err(b"a=1\nhello"), "line 2: `name=value` is expected, found `hello`");
        assert!(err(b"a=1\n1x=2").starts_with("line 2: `1x` is not an output's name"));
        assert_eq!(err(b"a<<END\nx"), "line 1: the block is not ended by a line `END`");
        assert_eq!(err(b"a<<\nx"), "line 1: `<<` wants a word that ends the block");
        assert_eq!(err(b"a=1\nb=\xff"), "the outputs are not UTF-8 (line 2)");
        assert!(err(b"{\"a\": }").contains("not one"));
        assert!(err(b"{\"a b\": 1}").contains("`a b` is not an output's name"));
        assert!(err(&[b'x'; 65 << 10]).contains("64 KiB"));
    }
}
