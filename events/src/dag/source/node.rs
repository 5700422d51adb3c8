//! Nodes of a parsed file: what was written, and where.

use std::rc::Rc;
use std::sync::Arc;

use crate::value::{MAX_SAFE_INTEGER, Value};

/// Bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub start: usize,
    pub end: usize,
}

/// One value of the file.
#[derive(Debug)]
pub(crate) struct Node {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// Text as written; what it means depends on who asks (`no` is a word where a word is wanted).
#[derive(Debug)]
pub(crate) struct Scalar {
    pub text: String,
    /// Not quoted and not a block.
    pub plain: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub node: Rc<Node>,
}

impl Entry {
    /// Where to point: at the value, or at the key when nothing is written there.
    pub fn at(&self) -> Span {
        if self.node.span.end > self.node.span.start { self.node.span } else { self.key_span }
    }
}

/// What a plain scalar says under YAML 1.2's core schema, without its octal, hexadecimal,
/// infinite and leading-zero numbers: those stay text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Typed {
    Null,
    Bool(bool),
    Int(i64),
    /// A decimal, normalised (`+1.50` is `1.50`).
    Number(String),
    /// A number that cannot be kept exactly by all readers.
    TooBig,
    Str,
}

impl Scalar {
    pub fn typed(&self) -> Typed {
        if !self.plain {
            return Typed::Str;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Typed::Null,
            "true" | "True" | "TRUE" => Typed::Bool(true),
            "false" | "False" | "FALSE" => Typed::Bool(false),
            text => number(text),
        }
    }
}

/// Reads a decimal number; anything else is text.
pub(crate) fn number(text: &str) -> Typed {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let shaped = digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)));
    if !shaped {
        return Typed::Str;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if fraction.is_some() || exponent.is_some() {
        let small = exponent.is_none_or(|e| e.parse::<i32>().is_ok_and(|e| e.abs() <= 300));
        return if small && text.len() <= 64 { Typed::Number(text.into()) } else { Typed::TooBig };
    }
    match text.parse::<i64>() {
        Ok(n) if n.unsigned_abs() <= MAX_SAFE_INTEGER.unsigned_abs() => Typed::Int(n),
        _ => Typed::TooBig,
    }
}

impl Node {
    /// The words for its type.
    pub fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Scalar(scalar) => match scalar.typed() {
                Typed::Null => "nothing",
                Typed::Bool(_) => "a boolean",
                Typed::Int(_) => "an integer",
                Typed::Number(_) | Typed::TooBig => "a number",
                Typed::Str => "text",
            },
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.typed() == Typed::Null)
    }

    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The value as it stands; numbers that cannot be kept are given back as their place.
    pub fn to_value(&self) -> Result<Value, Span> {
        Ok(match &self.kind {
            Kind::Scalar(scalar) => match scalar.typed() {
                Typed::Null => Value::Null,
                Typed::Bool(b) => Value::Bool(b),
                Typed::Int(n) => Value::Int(n),
                Typed::Number(text) => Value::Number(Arc::from(text)),
                Typed::TooBig => return Err(self.span),
                Typed::Str => Value::str(&scalar.text),
            },
            Kind::List(items) => {
                Value::list(items.iter().map(|item| item.to_value()).collect::<Result<_, _>>()?)
            }
            Kind::Map(entries) => Value::object(
                entries
                    .iter()
                    .map(|entry| Ok((entry.key.clone(), entry.node.to_value()?)))
                    .collect::<Result<_, _>>()?,
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Typed {
        Scalar { text: text.into(), plain: true }.typed()
    }

    #[test]
    fn plain_scalars_mean_what_the_core_schema_says() {
        let cases = [
            ("no", Typed::Str),
            ("off", Typed::Str),
            ("true", Typed::Bool(true)),
            ("", Typed::Null),
            ("12", Typed::Int(12)),
            ("-0", Typed::Int(0)),
            ("012", Typed::Str),
            ("0x1F", Typed::Str),
            ("1_000", Typed::Str),
            ("12:30:45", Typed::Str),
            ("1.10", Typed::Number("1.10".into())),
            ("+1.5e3", Typed::Number("1.5e3".into())),
            (".inf", Typed::Str),
            ("9007199254740991", Typed::Int(9_007_199_254_740_991)),
            ("9007199254740992", Typed::TooBig),
            ("99999999999999999999999999", Typed::TooBig),
            ("1e999999999999", Typed::TooBig),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(text), expected, "{text}");
        }
    }
}
