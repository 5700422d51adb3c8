//! A value of the author's world: a parameter, an output, a matrix cell, an item.
//!
//! Unlike JSON it keeps numbers exact: whole numbers as integers, all others as the decimal
//! text that was written. In leaves it takes the restricted form of `record.md` (no floats,
//! no nulls, no integers beyond 2^53 − 1): what does not fit is tagged, see [`Value::to_leaf`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest integer that JSON readers agree on: 2^53 − 1.
pub const MAX_SAFE_INTEGER: i64 = 9_007_199_254_740_991;

/// One value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Absent on purpose (JSON null).
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number, as its decimal text.
    Number(Arc<str>),
    /// Text.
    Str(Arc<str>),
    /// A list.
    List(Arc<[Value]>),
    /// An object.
    Object(Arc<BTreeMap<String, Value>>),
}

impl Value {
    /// Text.
    pub fn str(text: impl AsRef<str>) -> Self {
        Self::Str(Arc::from(text.as_ref()))
    }

    /// A list.
    pub fn list(items: Vec<Value>) -> Self {
        Self::List(Arc::from(items))
    }

    /// An object.
    pub fn object(members: BTreeMap<String, Value>) -> Self {
        Self::Object(Arc::new(members))
    }

    /// The name of its type, as a DAG file spells it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Number(_) => "number",
            Self::Str(_) => "string",
            Self::List(_) => "list",
            Self::Object(_) => "object",
        }
    }

    /// The text that a command line or a variable receives: strings bare, the rest as JSON.
    pub fn to_text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Str(text) => text.to_string(),
            Self::Number(text) => text.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::List(_) | Self::Object(_) => self.to_json().to_string(),
        }
    }

    /// Plain JSON, for people and programs outside (numbers as JSON numbers).
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Null => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Int(n) => Json::from(*n),
            Self::Number(text) => text
                .parse::<serde_json::Number>()
                .map(Json::Number)
                .unwrap_or_else(|_| Json::String(text.to_string())),
            Self::Str(text) => Json::String(text.to_string()),
            Self::List(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Self::Object(members) => {
                Json::Object(members.iter().map(|(k, v)| (k.clone(), v.to_json())).collect())
            }
        }
    }

    /// Reads plain JSON.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => match n.as_i64() {
                Some(n) => Self::Int(n),
                None => Self::Number(Arc::from(n.to_string())),
            },
            Json::String(text) => Self::str(text),
            Json::Array(items) => Self::list(items.iter().map(Value::from_json).collect()),
            Json::Object(members) => Self::object(
                members.iter().map(|(k, v)| (k.clone(), Value::from_json(v))).collect(),
            ),
        }
    }

    /// The form inside a leaf. `{"$number": "0.93"}` and `{"$null": true}` stand for what
    /// leaves do not allow; a member whose name starts with `$` gets a second `$`.
    pub fn to_leaf(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        let tagged =
            |tag: &str, value: Json| Json::Object([(tag.to_string(), value)].into_iter().collect());
        match self {
            Self::Null => tagged("$null", Json::Bool(true)),
            Self::Bool(b) => Json::Bool(*b),
            Self::Int(n) if n.unsigned_abs() <= MAX_SAFE_INTEGER.unsigned_abs() => Json::from(*n),
            Self::Int(n) => tagged("$number", Json::String(n.to_string())),
            Self::Number(text) => tagged("$number", Json::String(text.to_string())),
            Self::Str(text) => Json::String(text.to_string()),
            Self::List(items) => Json::Array(items.iter().map(Value::to_leaf).collect()),
            Self::Object(members) => Json::Object(
                members
                    .iter()
                    .map(|(k, v)| {
                        let name = if k.starts_with('$') { format!("${k}") } else { k.clone() };
                        (name, v.to_leaf())
                    })
                    .collect(),
            ),
        }
    }

    /// Reads the form inside a leaf; anything that [`Value::to_leaf`] cannot write is kept as is.
    pub fn from_leaf(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Object(members) if members.len() == 1 => {
                let (name, value) = members.iter().next().expect("one member");
                match (name.as_str(), value) {
                    ("$null", _) => Self::Null,
                    ("$number", Json::String(text)) => match text.parse::<i64>() {
                        Ok(n) => Self::Int(n),
                        Err(_) => Self::Number(Arc::from(text.as_str())),
                    },
                    _ => Self::leaf_object(members),
                }
            }
            Json::Object(members) => Self::leaf_object(members),
            Json::Array(items) => Self::list(items.iter().map(Value::from_leaf).collect()),
            other => Self::from_json(other),
        }
    }

    fn leaf_object(members: &serde_json::Map<String, serde_json::Value>) -> Self {
        let unescape = |k: &str| match k.strip_prefix("$$") {
            Some(rest) => format!("${rest}"),
            None => k.to_string(),
        };
        Self::object(members.iter().map(|(k, v)| (unescape(k), Value::from_leaf(v))).collect())
    }

    /// Bytes that it occupies as JSON, about.
    pub fn size(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 5,
            Self::Int(_) => 8,
            Self::Number(text) | Self::Str(text) => text.len() + 2,
            Self::List(items) => 2 + items.iter().map(|v| v.size() + 1).sum::<usize>(),
            Self::Object(members) => {
                2 + members.iter().map(|(k, v)| k.len() + 4 + v.size()).sum::<usize>()
            }
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_json())
    }
}

/// Serialises to the leaf form, see [`Value::to_leaf`].
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Str(text) => serializer.serialize_str(text),
            Self::Bool(b) => serializer.serialize_bool(*b),
            other => other.to_leaf().serialize(serializer),
        }
    }
}

/// Reads the leaf form, see [`Value::from_leaf`].
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(|json| Self::from_leaf(&json))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::str(text)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}
