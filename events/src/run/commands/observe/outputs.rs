//! From what a step wrote to what it declared.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dag::OutputType;
use crate::value::Value;

/// The declared outputs with their types, or the sentence that fails the step.
pub(super) fn typed(
    declared: &BTreeMap<String, OutputType>,
    written: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Value>, String> {
    let mut outputs = BTreeMap::new();
    for (name, kind) in declared {
        let value = written.get(name).ok_or_else(|| {
            format!(
                "the declared output `{name}` was not written; \
                 write `{name}=…` to the file $DAGBOOK_OUTPUT"
            )
        })?;
        outputs.insert(name.clone(), convert(name, *kind, value)?);
    }
    Ok(outputs)
}

fn convert(name: &str, kind: OutputType, value: &Value) -> Result<Value, String> {
    let wanted = match kind {
        OutputType::String => "a string",
        OutputType::Integer => "an integer",
        OutputType::Number => "a number",
        OutputType::Boolean => "true or false",
        OutputType::List => "a JSON list",
        OutputType::Object => "a JSON object",
    };
    let parsed = match value {
        Value::Str(text) if kind != OutputType::String => parse(kind, text.trim()),
        other => Some(other.clone()),
    };
    let fits = |value: &Value| match kind {
        OutputType::String => matches!(value, Value::Str(_)),
        OutputType::Integer => matches!(value, Value::Int(_)),
        OutputType::Number => matches!(value, Value::Int(_) | Value::Number(_)),
        OutputType::Boolean => matches!(value, Value::Bool(_)),
        OutputType::List => matches!(value, Value::List(_)),
        OutputType::Object => matches!(value, Value::Object(_)),
    };
    match parsed {
        Some(value) if fits(&value) => Ok(value),
        Some(value) if kind == OutputType::String => Ok(Value::str(value.to_text())),
        _ => {
            let shown: String = value.to_text().chars().take(60).collect();
            Err(format!("the output `{name}` must be {wanted}, and `{shown}` is not"))
        }
    }
}

fn parse(kind: OutputType, text: &str) -> Option<Value> {
    match kind {
        OutputType::Integer => text.parse().ok().map(Value::Int),
        OutputType::Boolean => text.parse().ok().map(Value::Bool),
        OutputType::Number => match text.parse::<i64>() {
            Ok(whole) => Some(Value::Int(whole)),
            Err(_) => {
                text.parse::<serde_json::Number>().ok().map(|_| Value::Number(Arc::from(text)))
            }
        },
        OutputType::List | OutputType::Object => {
            serde_json::from_str(text).ok().map(|json| Value::from_json(&json))
        }
        OutputType::String => Some(Value::str(text)),
    }
}
