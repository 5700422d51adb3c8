//! Values between this crate and the expression engine.
//!
//! Lists and objects cross as views and are converted member by member, when looked at: a
//! list of 50,000 items costs nothing to an expression that reads one of them. Decimals are
//! floats only inside the engine; what leaves it is decimal text again.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectExt, ObjectRepr, Value as Jinja, ValueKind};

use crate::value::Value;

/// Nodes that a value made by an expression may have.
const MAX_NODES: usize = 1_000_000;
/// Bytes that it may have.
const MAX_BYTES: usize = 8 << 20;
/// Nesting that it may have.
const MAX_DEPTH: usize = 64;

#[derive(Debug)]
struct ListView(Arc<[Value]>);

#[derive(Debug)]
struct MapView(Arc<BTreeMap<String, Value>>);

impl Object for ListView {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.0.get(key.as_usize()?).map(to_jinja)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }
}

impl Object for MapView {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.0.get(key.as_str()?).map(to_jinja)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|view| Box::new(view.0.keys().map(|key| Jinja::from(key.as_str()))))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}

/// A value as the engine sees it.
pub(crate) fn to_jinja(value: &Value) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(b) => Jinja::from(*b),
        Value::Int(n) => Jinja::from(*n),
        Value::Number(text) => match text.parse::<f64>() {
            Ok(number) => Jinja::from(number),
            Err(_) => Jinja::from(text.as_ref()),
        },
        Value::Str(text) => Jinja::from(Arc::clone(text)),
        Value::List(items) => Jinja::from_object(ListView(Arc::clone(items))),
        Value::Object(members) => Jinja::from_object(MapView(Arc::clone(members))),
    }
}

/// An engine's value as ours; the message says why there is none.
pub(crate) fn from_jinja(value: &Jinja) -> Result<Value, String> {
    let mut budget = Budget { nodes: MAX_NODES, bytes: MAX_BYTES };
    budget.convert(value, 0)
}

struct Budget {
    nodes: usize,
    bytes: usize,
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        match (self.nodes.checked_sub(1), self.bytes.checked_sub(bytes)) {
            (Some(nodes), Some(left)) => {
                *self = Self { nodes, bytes: left };
                Ok(())
            }
            _ => Err("the value is too large".into()),
        }
    }

    fn convert(&mut self, value: &Jinja, depth: usize) -> Result<Value, String> {
        if let Some(view) = value.downcast_object_ref::<ListView>() {
            return Ok(Value::List(Arc::clone(&view.0)));
        }
        if let Some(view) = value.downcast_object_ref::<MapView>() {
            return Ok(Value::Object(Arc::clone(&view.0)));
        }
        if depth > MAX_DEPTH {
            return Err("the value is nested too deeply".into());
        }
        self.spend(value.as_str().map_or(8, str::len))?;
        match value.kind() {
            ValueKind::None => Ok(Value::Null),
            ValueKind::Bool => Ok(Value::Bool(value.is_true())),
            ValueKind::Number => number(value),
            ValueKind::String => Ok(Value::str(value.as_str().unwrap_or_default())),
            ValueKind::Seq | ValueKind::Iterable => {
                let mut items = Vec::new();
                for item in value.try_iter().map_err(|error| error.to_string())? {
                    items.push(self.convert(&item, depth + 1)?);
                }
                Ok(Value::list(items))
            }
            ValueKind::Map => self.object(value, depth),
            ValueKind::Undefined => Err("the value is not there".into()),
            other => Err(format!("{other} is not a value that can be kept")),
        }
    }

    fn object(&mut self, value: &Jinja, depth: usize) -> Result<Value, String> {
        let mut members = BTreeMap::new();
        for key in value.try_iter().map_err(|error| error.to_string())? {
            let member = value.get_item(&key).map_err(|error| error.to_string())?;
            let Some(name) = key.as_str() else {
                return Err(format!("an object's keys must be text, not {}", key.kind()));
            };
            members.insert(name.to_string(), self.convert(&member, depth + 1)?);
        }
        Ok(Value::object(members))
    }
}

fn number(value: &Jinja) -> Result<Value, String> {
    if let Some(n) = value.as_i64().filter(|_| value.is_integer()) {
        return Ok(Value::Int(n));
    }
    if value.is_integer() {
        return Ok(Value::Number(Arc::from(value.to_string())));
    }
    let float = f64::try_from(value.clone()).map_err(|error| error.to_string())?;
    if !float.is_finite() {
        return Err("the result is not a finite number".into());
    }
    let text = float.to_string();
    Ok(match text.parse::<i64>() {
        Ok(n) => Value::Int(n),
        Err(_) => Value::Number(Arc::from(text)),
    })
}
