//! Parameters: written values, given values, and the rules of their declarations.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::value::Value;

use super::codes;
use super::plan::OutputType;
use super::source::{Kind, Node, Report, Span, Typed, number};
use super::spec::{ParamSpec, Spec};
use super::suggest::did_you_mean;

/// A value of the file as its declared type. Text takes any scalar as it is written, so
/// `no`, `012` and `1.10` stay what they look like.
pub(crate) fn coerce_written(node: &Node, kind: OutputType) -> Result<Value, String> {
    let wrong = || Err(format!("must be {}, not {}", article(kind), node.type_name()));
    let scalar = match (&node.kind, kind) {
        (Kind::Scalar(scalar), _) => scalar,
        (Kind::List(_), OutputType::List) | (Kind::Map(_), OutputType::Object) => {
            return node
                .to_value()
                .map_err(|_| "holds a number that cannot be kept exactly; quote it".into());
        }
        _ => return wrong(),
    };
    match (kind, scalar.typed()) {
        (OutputType::String, Typed::Null) => wrong(),
        (OutputType::String, _) => Ok(Value::str(&scalar.text)),
        (OutputType::Integer | OutputType::Number, Typed::Int(n)) => Ok(Value::Int(n)),
        (OutputType::Number, Typed::Number(text)) => Ok(Value::Number(Arc::from(text))),
        (OutputType::Integer | OutputType::Number, Typed::TooBig) => {
            Err(format!("{} cannot be kept exactly: integers end at 2^53 - 1", scalar.text))
        }
        (OutputType::Boolean, Typed::Bool(b)) => Ok(Value::Bool(b)),
        _ => wrong(),
    }
}

fn article(kind: OutputType) -> &'static str {
    match kind {
        OutputType::String => "text",
        OutputType::Integer => "an integer",
        OutputType::Number => "a number",
        OutputType::Boolean => "a boolean",
        OutputType::List => "a list",
        OutputType::Object => "an object",
    }
}

/// The decimal text of a number.
pub(crate) fn number_text(value: &Value) -> Option<String> {
    match value {
        Value::Int(n) => Some(n.to_string()),
        Value::Number(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Compares two decimal numbers exactly, exponents included.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    match (a.negative, b.negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => a.magnitude(&b),
        (true, true) => b.magnitude(&a),
    }
}

/// A number as `0.digits × 10^scale`, without leading or trailing zeros.
struct Parts {
    negative: bool,
    digits: String,
    scale: i64,
}

impl Parts {
    fn of(text: &str) -> Self {
        let (unsigned, minus) = match text.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let leading = i64::try_from(all.len() - digits.len()).unwrap_or(0);
        let exponent: i64 = exponent.trim_start_matches('+').parse().unwrap_or(0);
        let scale = i64::try_from(whole.len()).unwrap_or(0) - leading + exponent;
        let digits = digits.trim_end_matches('0').to_string();
        let zero = digits.is_empty();
        Self { negative: minus && !zero, scale: if zero { i64::MIN } else { scale }, digits }
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        self.scale.cmp(&other.scale).then_with(|| self.digits.cmp(&other.digits))
    }
}

/// The rule that a value of the right type breaks.
pub(crate) fn violation(param: &ParamSpec, value: &Value) -> Option<String> {
    if let Some(text) = number_text(value) {
        if let Some(low) = &param.minimum
            && compare(&text, &low.0).is_lt()
        {
            return Some(format!("is {text}, below the minimum {}", low.0));
        }
        if let Some(high) = &param.maximum
            && compare(&text, &high.0).is_gt()
        {
            return Some(format!("is {text}, above the maximum {}", high.0));
        }
    }
    if let (Some(pattern), Value::Str(text)) = (&param.pattern, value)
        && !pattern.regex.is_match(text)
    {
        return Some(format!("does not match the pattern `{}`", pattern.text));
    }
    if !param.choices.is_empty() && !param.choices.contains(value) {
        let words: Vec<String> = param.choices.iter().map(Value::to_text).collect();
        return Some(format!("is not one of {}", words.join(", ")));
    }
    None
}

/// Values of all parameters: given ones checked, defaults applied. A parameter that is
/// neither given nor required and has no default is null.
pub(crate) fn bind(
    spec: &Spec,
    given: &BTreeMap<String, Value>,
    report: &mut Report<'_>,
) -> BTreeMap<String, Value> {
    for name in given.keys() {
        if !spec.params.iter().any(|param| param.name == *name) {
            let message = format!("there is no parameter `{name}`");
            let known = spec.params.iter().map(|param| param.name.as_str());
            report
                .add(&codes::PARAM_UNKNOWN, Span::default(), message)
                .maybe_hint(did_you_mean(name, known));
        }
    }
    let mut bound = BTreeMap::new();
    for param in &spec.params {
        let value = match (given.get(&param.name), &param.default) {
            (Some(value), _) => checked(param, value, report),
            (None, Some(default)) => default.clone(),
            (None, None) => {
                if param.required {
                    let message = format!("the parameter `{}` is required", param.name);
                    report
                        .add(&codes::PARAM_MISSING, param.span, message)
                        .hint(format!("give it with `--param {}=…`", param.name));
                }
                Value::Null
            }
        };
        bound.insert(param.name.clone(), value);
    }
    bound
}

fn checked(param: &ParamSpec, value: &Value, report: &mut Report<'_>) -> Value {
    match coerce_given(value, param.kind) {
        Err(message) => {
            let message = format!("the parameter `{}` {message}", param.name);
            report.add(&codes::PARAM_TYPE, param.span, message);
            Value::Null
        }
        Ok(value) => {
            if let Some(message) = violation(param, &value) {
                let message = format!("the parameter `{}` {message}", param.name);
                report.add(&codes::PARAM_RULE, param.span, message);
            }
            value
        }
    }
}

/// A given value as the declared type: text from a command line is read as that type, a
/// typed value must already have it (a whole number is a number, too).
pub(crate) fn coerce_given(value: &Value, kind: OutputType) -> Result<Value, String> {
    let wrong = || Err(format!("must be {}, not `{}`", article(kind), cut(&value.to_text())));
    match (kind, value) {
        (OutputType::String, Value::Str(_))
        | (OutputType::Integer, Value::Int(_))
        | (OutputType::Number, Value::Int(_) | Value::Number(_))
        | (OutputType::Boolean, Value::Bool(_))
        | (OutputType::List, Value::List(_))
        | (OutputType::Object, Value::Object(_)) => Ok(value.clone()),
        (OutputType::Integer | OutputType::Number, Value::Str(text)) => match number(text) {
            Typed::Int(n) => Ok(Value::Int(n)),
            Typed::Number(text) if kind == OutputType::Number => Ok(Value::Number(text.into())),
            Typed::TooBig => Err(format!("cannot be kept exactly: `{}`", cut(text))),
            _ => wrong(),
        },
        (OutputType::Boolean, Value::Str(text)) => match text.as_ref() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => wrong(),
        },
        (OutputType::List | OutputType::Object, Value::Str(text)) => {
            match serde_json::from_str::<serde_json::Value>(text) {
                Ok(json) if json.is_array() && kind == OutputType::List => {
                    Ok(Value::from_json(&json))
                }
                Ok(json) if json.is_object() && kind == OutputType::Object => {
                    Ok(Value::from_json(&json))
                }
                _ => Err(format!("must be {} in JSON, not `{}`", article(kind), cut(text))),
            }
        }
        _ => wrong(),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_compare_exactly() {
        let rising = ["-1e3", "-2.5", "-2.05", "0", "0.1", "0.10000000000000000001", "1", "1e2"];
        for (i, low) in rising.iter().enumerate() {
            assert_eq!(compare(low, low), Ordering::Equal);
            for high in &rising[i + 1..] {
                assert_eq!(compare(low, high), Ordering::Less, "{low} < {high}");
                assert_eq!(compare(high, low), Ordering::Greater, "{high} > {low}");
            }
        }
        assert_eq!(compare("1.0", "1"), Ordering::Equal);
        assert_eq!(compare("-0", "0.00"), Ordering::Equal);
        assert_eq!(compare("100e-2", "1"), Ordering::Equal);
    }
}
